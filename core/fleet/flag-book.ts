import {
  FLAG_NAMES,
  flagProblem,
  isReadable,
  INITIAL_TEXTS,
  readFlags,
  takenBy,
  UNREADABLE_TEXTS,
  type FlagName,
  type Flags,
  type FlagTakes,
} from "../flags.ts";
import { compareVersions } from "../semver.ts";

/**
 * The flags in force. The fleet is the authority. Operators may also write flags to Workers KV, which returns old values for
 * up to a minute after a change. So a value in KV counts as an operator's change only if it is not marked as written by the
 * fleet and differs from the value that was last read (H17). A comparison with the last value written would not do: after
 * `on` and then `off` within a minute, a delayed `on` must not count.
 */

export interface FlagState {
  readonly name: FlagName;
  /** The value in force; null for the initial one. */
  readonly text: string | null;
  /** What KV held at the last look; null if nothing, and null too if it was the fleet's own writing. */
  readonly lastRead: string | null;
  /** What KV holds and does not parse; null if it does. */
  readonly invalid: string | null;
}

export interface FlagStore {
  flags(): FlagState[];
  saveFlag(state: FlagState, version: number): void;
  /** Counts the changes of what is in force. */
  flagsVersion(): number;
}

export interface FlagView {
  readonly name: FlagName;
  readonly value: string;
  /** The value before anybody has written one. */
  readonly initial: string;
  readonly takes: FlagTakes;
  readonly source: "kv" | "default";
  readonly valid: boolean;
  /** What KV holds instead, if that does not parse. */
  readonly invalid?: string;
  readonly problem?: string;
}

export class FlagBook {
  readonly #store: FlagStore;
  readonly #newestProvider: string;
  readonly #states = new Map<FlagName, FlagState>();
  #version: number;
  #flags: Flags;

  /** @param newestProvider the provider version that belongs to this coordinator. */
  constructor(store: FlagStore, newestProvider: string) {
    this.#store = store;
    this.#newestProvider = newestProvider;
    for (const state of store.flags()) this.#states.set(state.name, understood(state));
    this.#version = store.flagsVersion();
    this.#flags = this.#read();
  }

  get flags(): Flags {
    return this.#flags;
  }

  get version(): number {
    return this.#version;
  }

  views(): FlagView[] {
    return FLAG_NAMES.map((name) => this.view(name));
  }

  view(name: FlagName): FlagView {
    const { text, invalid } = this.#state(name);
    const view = {
      name,
      value: text ?? INITIAL_TEXTS[name],
      initial: INITIAL_TEXTS[name],
      takes: takenBy(name),
      source: text === null ? "default" : "kv",
    } as const;
    if (invalid === null) return { ...view, valid: true };
    return { ...view, valid: false, invalid, problem: this.#problem(name, invalid) ?? "is not valid" };
  }

  /** An operator's change through the API; the caller writes it to KV. @returns what is wrong with it, or null. */
  set(name: FlagName, text: string): string | null {
    const problem = this.#problem(name, text);
    if (problem !== null) return problem;
    this.#save({ ...this.#state(name), text, invalid: null });
    return null;
  }

  /**
   * What KV holds now; null for a key that is not there.
   * @param isOurs the fleet wrote it.
   * @returns whether anything in force has changed.
   */
  readKv(name: FlagName, value: string | null, isOurs: boolean): boolean {
    const state = this.#state(name);
    const lastRead = isOurs ? null : value;
    if (lastRead === state.lastRead) return false;
    const before = this.#version;
    // A key that somebody deleted leaves in force what was: the way back to the initial value is to write it.
    if (lastRead === null) this.#save({ ...state, lastRead, invalid: null });
    else if (this.#problem(name, lastRead) === null) {
      this.#save({ ...state, lastRead, text: lastRead, invalid: null });
    } else this.#save({ ...state, lastRead, invalid: lastRead });
    return this.#version !== before;
  }

  /** Nobody could have a provider newer than the one that is advertised (F12). */
  #problem(name: FlagName, text: string): string | null {
    const problem = flagProblem(name, text);
    const isVersion = name === "min_provider_version" || name === "assign_min_provider_version";
    if (problem !== null || !isVersion || text === "none") return problem;
    if (compareVersions(text, this.#newestProvider) <= 0) return null;
    return `${name} must be at most ${this.#newestProvider}, the newest provider there is`;
  }

  #state(name: FlagName): FlagState {
    return this.#states.get(name) ?? { name, text: null, lastRead: null, invalid: null };
  }

  #save(state: FlagState): void {
    const isChanged = state.text !== this.#state(state.name).text;
    const version = isChanged ? this.#version + 1 : this.#version;
    this.#store.saveFlag(state, version);
    this.#version = version;
    this.#states.set(state.name, state);
    this.#flags = this.#read();
  }

  #read(): Flags {
    const texts: Partial<Record<FlagName, string>> = {};
    for (const { name, text } of this.#states.values()) if (text !== null) texts[name] = text;
    return readFlags(texts);
  }
}

/** A later version may have put in force what this one does not know: then the safest value is in force, and that is shown. */
function understood(state: FlagState): FlagState {
  const { name, text } = state;
  if (text === null || isReadable(name, text)) return state;
  return { ...state, text: UNREADABLE_TEXTS[name] ?? null, invalid: text };
}
