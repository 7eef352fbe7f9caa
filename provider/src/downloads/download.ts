import { createHash } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { basename } from "node:path";

import type { ModelId } from "../../../protocol/ids.ts";
import { reasonOf } from "../reason.ts";
import { UserError } from "../user-error.ts";
import { PartFile } from "./part-file.ts";
import type { DownloadPorts } from "./ports.ts";
import { TransientError, WrongFileError } from "./problems.ts";
import { Progress, sizeText } from "./progress.ts";
import { readHash, writeHash } from "./record.ts";
import { request, type Answer, type Origin } from "./request.ts";
import { retry, MANY_TRIES } from "./retry.ts";
import { shown, type RemoteFile } from "./source.ts";

/** One remote file: whether it is on disk, what its source says about it, and downloading it. */

/**
 * Whether the file is on disk with the hash that the owner gave, if any. To check that, it may have to be read once.
 * @throws UserError if it cannot be read, and the signal's reason.
 */
export async function isThere(
  model: ModelId,
  { path, sha256 }: RemoteFile,
  { log, signal }: DownloadPorts,
): Promise<boolean> {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return false;
  if (sha256 === null) return true;
  const known = readHash(path, stat.size);
  if (known !== null) return known === sha256;
  log.info("checking the hash of a file that is here", {
    model,
    file: basename(path),
    size: sizeText(stat.size),
  });
  const found = await hashOf(path, signal);
  writeHash(path, stat.size, found);
  return found === sha256;
}

/**
 * Asks the source for size and hash of the file without downloading it.
 * @throws UserError
 */
export function look(file: RemoteFile, tries: number, ports: DownloadPorts): Promise<Origin> {
  // Not HEAD, because URLs that are signed for GET refuse it.
  const firstByte = { range: "bytes=0-0" };
  return retry(file, tries, ports, () =>
    request(file.url, firstByte, ports, ({ origin }) => {
      checkPromise(file, origin);
      return Promise.resolve(origin);
    }),
  );
}

/**
 * Downloads a file, resuming a partial download, and renames it once it is complete and verified.
 * @throws UserError, and the signal's reason. A partial download is kept unless its contents are wrong.
 * @returns its size in bytes
 */
export async function download(model: ModelId, file: RemoteFile, ports: DownloadPorts): Promise<number> {
  const progress = new Progress(ports, model, file.path);
  const part = await PartFile.open(file.path, ports.signal);
  const complete = async (): Promise<string> => {
    const fetchMore = (): Promise<void> => fetchRest(part, file, ports, progress);
    await retry(file, MANY_TRIES, ports, fetchMore, () => part.sizeBytes);
    await refuseOther(part, file, "at the end");
    return part.digest();
  };
  const wanted = (): string | null => file.sha256 ?? part.origin?.sha256 ?? null;
  try {
    let found = await complete();
    if (found !== (wanted() ?? found) && part.isPieced) {
      ports.log.warn("the pieces of a download do not fit together, so it starts anew", {
        file: basename(file.path),
      });
      await part.restart(null);
      found = await complete();
    }
    const hash = wanted() ?? found;
    if (found !== hash) {
      await part.remove();
      throw new WrongFileError(wrongHash(file, found, hash));
    }
    // A source that says no length may have broken off unnoticed. Once it has its name, nobody would fetch it again.
    await refuse(part, file, await part.lengthProblem());
    await part.finish(found);
    return part.sizeBytes;
  } finally {
    await part.close();
  }
}

async function fetchRest(
  part: PartFile,
  file: RemoteFile,
  ports: DownloadPorts,
  progress: Progress,
): Promise<void> {
  if (part.isWhole) return;
  await request(file.url, rangeAfter(part, file), ports, async (answer) => {
    checkPromise(file, answer.origin);
    if (answer.status === 200) await part.restart(answer.origin);
    else if (!continues(part, answer)) {
      await part.restart(null);
      throw new TransientError("the file has changed at its source, so it starts anew");
    }
    part.beginPiece();
    for await (const chunk of answer.chunks) {
      await part.append(chunk);
      await refuseOther(part, file, "still coming");
      progress.at(part.sizeBytes, part.origin?.sizeBytes ?? null);
    }
  });
  const size = part.origin?.sizeBytes ?? part.sizeBytes;
  if (part.sizeBytes < size) throw new TransientError("the answer ended early");
}

/** Sizes are of uncompressed bytes. For requests with a range, `fetch` sets this header itself. */
const WHOLE = { "accept-encoding": "identity" };

/** Resumes only if the file can be recognized: by its hash, which is checked at the end, or by a validator. */
function rangeAfter({ sizeBytes, origin }: PartFile, file: RemoteFile): Record<string, string> {
  if (sizeBytes === 0 || origin === null) return WHOLE;
  const range = `bytes=${sizeBytes}-`;
  if (file.sha256 !== null || origin.sha256 !== null) return { range };
  return origin.validator === null ? WHOLE : { range, "if-range": origin.validator };
}

function continues({ sizeBytes, origin }: PartFile, answer: Answer): boolean {
  return (
    answer.status === 206 &&
    answer.startsAt === sizeBytes &&
    origin !== null &&
    answer.origin.sizeBytes === origin.sizeBytes &&
    answer.origin.sha256 === origin.sha256 &&
    // Hugging Face's storage may send another validator each time.
    (origin.sha256 !== null || answer.origin.validator === origin.validator)
  );
}

/** @throws WrongFileError if the hash that the source announces is not the owner's. */
function checkPromise(file: RemoteFile, { sha256 }: Origin): void {
  if (file.sha256 === null || sha256 === null || sha256 === file.sha256) return;
  throw new WrongFileError(wrongHash(file, sha256, file.sha256));
}

/** @throws WrongFileError if the bytes are not a model, or more than were announced. */
async function refuseOther(
  part: PartFile,
  file: RemoteFile,
  when: "still coming" | "at the end",
): Promise<void> {
  await refuse(part, file, part.problem(when));
  if (part.sizeBytes <= (part.origin?.sizeBytes ?? Infinity)) return;
  await part.remove();
  throw new WrongFileError(`${shown(file.url)} sent more than it had announced.`);
}

/** @throws WrongFileError if there is a problem; then nothing is kept. */
async function refuse(part: PartFile, { url }: RemoteFile, problem: string | null): Promise<void> {
  if (problem === null) return;
  await part.remove();
  const what = problem.replace(/ (Copy or d|D)ownload it again\.$/, "");
  throw new WrongFileError(
    `What comes from ${shown(url)} ${what} Open the address in a browser to see what it is.`,
  );
}

function wrongHash({ url, sha256 }: RemoteFile, found: string, wanted: string): string {
  const whose = sha256 === null ? "its source says" : "--model says";
  return `${shown(url)} is not the file that it should be: its sha256 is ${found}, and ${whose} ${wanted}.`;
}

async function hashOf(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
      signal.throwIfAborted();
      if (chunk instanceof Buffer) hash.update(chunk);
    }
  } catch (cause) {
    signal.throwIfAborted();
    throw new UserError(`Cannot read the model file ${path}: ${reasonOf(cause)}.`, { cause });
  }
  return hash.digest("hex");
}
