import { rmSync } from "node:fs";

import { z } from "zod";

import { flagNameSchema, type FlagName } from "../core/flags.ts";
import { parseJson, readIfPresent, writePrivately } from "./state-files.ts";

/** What of the admin API is needed to set flags for a while. */
export interface FlagCalls {
  flag(name: FlagName): Promise<string>;
  setFlag(name: FlagName, value: string): Promise<void>;
}

const beforeSchema = z.array(z.tuple([flagNameSchema, z.string()]));

/**
 * The flags as the demo wants them, for its own length. The state folder is kept between runs, so what was there before
 * comes back at the end. A Ctrl-C ends the coordinator together with the demo, so what is to come back is in a file,
 * and a demo that was broken off is tidied up by the next start: else that would find a fleet that moves machines.
 */
export class DemoFlags {
  readonly #calls: FlagCalls;
  readonly #path: string;
  /** What each flag was, in the order in which they were set first. */
  readonly #before: Map<FlagName, string>;

  /** @param path of the file with what is to come back, which need not exist. */
  constructor(calls: FlagCalls, path: string) {
    this.#calls = calls;
    this.#path = path;
    this.#before = new Map(readBefore(path));
  }

  async set(name: FlagName, value: string): Promise<void> {
    if (!this.#before.has(name)) {
      this.#before.set(name, await this.#calls.flag(name));
      writePrivately(this.#path, [...this.#before]);
    }
    await this.#calls.setFlag(name, value);
  }

  /** Sets all back, the last one first. */
  async giveBack(): Promise<void> {
    for (const [name, value] of [...this.#before].toReversed()) await this.#calls.setFlag(name, value);
    this.#before.clear();
    rmSync(this.#path, { force: true });
  }
}

/** A file that says nothing is as good as none: the flags then stay as they are. */
function readBefore(path: string): z.infer<typeof beforeSchema> {
  const parsed = beforeSchema.safeParse(parseJson(readIfPresent(path) ?? ""));
  return parsed.success ? parsed.data : [];
}
