import { createHash } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { basename } from "node:path";

import type { ModelId } from "../../../protocol/ids.ts";
import { reasonOf } from "../reason.ts";
import { UserError } from "../user-error.ts";
import { PartFile } from "./part-file.ts";
import { insist, MANY_TRIES } from "./patience.ts";
import type { DownloadPorts } from "./ports.ts";
import { TransientError, WrongFileError } from "./problems.ts";
import { Progress, sizeText } from "./progress.ts";
import { readHash, writeHash } from "./record.ts";
import { request, type Answer, type Origin } from "./request.ts";
import { shown, type RemoteFile } from "./source.ts";

/** One file: whether it is there, what its source says of it, and how it comes here. */

/**
 * Whether the file is there, and is the one that the owner wants. To know that it may have to be read once.
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
 * Asks the source for the file without fetching it.
 * @throws UserError
 */
export function look(file: RemoteFile, tries: number, ports: DownloadPorts): Promise<Origin> {
  // Not HEAD, which addresses that are signed for GET refuse.
  const firstByte = { range: "bytes=0-0" };
  return insist(file, tries, ports, () =>
    request(file.url, firstByte, ports, ({ origin }) => {
      checkPromise(file, origin);
      return Promise.resolve(origin);
    }),
  );
}

/**
 * Fetches a file, or the rest of one, and gives it its name when it is whole and checked.
 * @throws UserError, and the signal's reason. What is there is kept, unless it was wrong.
 * @returns its size in bytes
 */
export async function download(model: ModelId, file: RemoteFile, ports: DownloadPorts): Promise<number> {
  const progress = new Progress(ports, model, file.path);
  const part = await PartFile.open(file.path, ports.signal);
  const complete = async (): Promise<string> => {
    const fetchMore = (): Promise<void> => fetchRest(part, file, ports, progress);
    await insist(file, MANY_TRIES, ports, fetchMore, () => part.sizeBytes);
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

/** Compressed bytes could not be counted; with a range, `fetch` sees to that itself. */
const WHOLE = { "accept-encoding": "identity" };

/** With nothing to know the file by, the rest of it may be the rest of another one. A known hash is checked when all is there. */
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
    // Of Hugging Face's storage it may be another one each time.
    (origin.sha256 !== null || answer.origin.validator === origin.validator)
  );
}

/** @throws WrongFileError if the source says itself that this is not the file that the owner wants. */
function checkPromise(file: RemoteFile, { sha256 }: Origin): void {
  if (file.sha256 === null || sha256 === null || sha256 === file.sha256) return;
  throw new WrongFileError(wrongHash(file, sha256, file.sha256));
}

/** @throws WrongFileError if the source sends no model, or more than one. */
async function refuseOther(
  part: PartFile,
  { url }: RemoteFile,
  when: "still coming" | "at the end",
): Promise<void> {
  const problem = part.problem(when);
  const { sizeBytes, origin } = part;
  const isTooLong = sizeBytes > (origin?.sizeBytes ?? Infinity);
  if (problem === null && !isTooLong) return;
  await part.remove();
  throw new WrongFileError(
    problem === null
      ? `${shown(url)} sent more than it had announced.`
      : `What comes from ${shown(url)} ${problem.replace(" Download it again.", "")} Open the address in a browser to see what it is.`,
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
