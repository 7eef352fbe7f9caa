import { createHash, type Hash } from "node:crypto";
import { closeSync, createReadStream, openSync, rmSync, statSync } from "node:fs";
import { open, rename, type FileHandle } from "node:fs/promises";

import { HEADER_BYTES, headerProblem, lengthProblem } from "../models.ts";
import { reasonOf } from "../reason.ts";
import { UserError } from "../user-error.ts";
import { readOrigin, removeHash, removeOrigin, writeHash, writeOrigin } from "./record.ts";
import type { Origin } from "./request.ts";

/** A partial download, with the hash of its bytes so far. It survives a restart of the program. */
export class PartFile {
  readonly #path: string;
  readonly #file: FileHandle;
  #hash: Hash = createHash("sha256");
  #header = Buffer.alloc(0);
  #size = 0;
  #origin: Origin | null = null;
  #pieces = 0;

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /**
   * Opens the partial download of `path`. It counts as empty if there is no record of its origin.
   * @throws UserError if the disk refuses, and the signal's reason.
   */
  static async open(path: string, signal: AbortSignal): Promise<PartFile> {
    const part = await orDiskProblem(path, async () => new PartFile(path, await open(partPath(path), "a")));
    try {
      const origin = readOrigin(partPath(path));
      if (origin !== null) await part.#resume(origin, signal);
      return part;
    } catch (cause) {
      await part.close();
      throw cause;
    }
  }

  get sizeBytes(): number {
    return this.#size;
  }

  /** What the source said when the download started; null while it is empty. */
  get origin(): Origin | null {
    return this.#origin;
  }

  get isWhole(): boolean {
    return this.#size > 0 && this.#size === this.#origin?.sizeBytes;
  }

  /** Whether its bytes come from more than one response. */
  get isPieced(): boolean {
    return this.#pieces > 1;
  }

  /** The bytes of another response follow. */
  beginPiece(): void {
    this.#pieces += 1;
  }

  /** Discards its bytes. */
  async restart(origin: Origin | null): Promise<void> {
    await orDiskProblem(this.#path, () => this.#file.truncate(0));
    this.#hash = createHash("sha256");
    this.#header = Buffer.alloc(0);
    this.#size = 0;
    this.#pieces = 0;
    this.#origin = origin;
    if (origin !== null) writeOrigin(partPath(this.#path), origin);
  }

  /** What is wrong with the file's header; null if nothing, or if it is not complete yet. */
  problem(when: "still coming" | "at the end"): string | null {
    const isToCome = this.#header.length < HEADER_BYTES && when === "still coming";
    return isToCome ? null : headerProblem(this.#header);
  }

  /** What the complete file lacks; null if nothing. @throws UserError if the disk refuses. */
  lengthProblem(): Promise<string | null> {
    return orDiskProblem(this.#path, async () => {
      const file = openSync(partPath(this.#path), "r");
      try {
        return lengthProblem(file, this.#size);
      } finally {
        closeSync(file);
      }
    });
  }

  /** @throws UserError if the disk refuses, for example because it is full. */
  async append(chunk: Uint8Array): Promise<void> {
    await orDiskProblem(this.#path, () => this.#file.appendFile(chunk));
    this.#take(chunk);
  }

  /** The file's sha256. Nothing can be appended after this. */
  digest(): string {
    return this.#hash.digest("hex");
  }

  /** Renames the file, after syncing it to disk. */
  async finish(sha256: string): Promise<void> {
    await orDiskProblem(this.#path, async () => {
      await this.#file.sync();
      await this.#file.close();
      // It may belong to the file that is being replaced.
      removeHash(this.#path);
      await rename(partPath(this.#path), this.#path);
    });
    writeHash(this.#path, this.#size, sha256);
    removeOrigin(partPath(this.#path));
  }

  /** Deletes the partial download. */
  async remove(): Promise<void> {
    await this.close();
    rmSync(partPath(this.#path), { force: true });
    removeOrigin(partPath(this.#path));
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #resume(origin: Origin, signal: AbortSignal): Promise<void> {
    this.#origin = origin;
    await orDiskProblem(this.#path, async () => {
      for await (const chunk of createReadStream(partPath(this.#path), { highWaterMark: 1024 * 1024 })) {
        signal.throwIfAborted();
        if (chunk instanceof Buffer) this.#take(chunk);
      }
    });
    if (this.#size > 0) this.#pieces = 1;
    if (this.problem("still coming") !== null) await this.restart(null);
  }

  #take(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.#size += chunk.byteLength;
    if (this.#header.length === HEADER_BYTES) return;
    this.#header = Buffer.concat([this.#header, chunk]).subarray(0, HEADER_BYTES);
  }
}

/** Bytes of the partial download of `path`. */
export function partSize(path: string): number {
  return statSync(partPath(path), { throwIfNoEntry: false })?.size ?? 0;
}

function partPath(path: string): string {
  return `${path}.part`;
}

async function orDiskProblem<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    const isOfDisk = cause instanceof Error && "syscall" in cause;
    throw isOfDisk ? new UserError(`Cannot write ${path}: ${reasonOf(cause)}.`, { cause }) : cause;
  }
}
