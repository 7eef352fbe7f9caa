import type { ModelId } from "../../protocol/ids.ts";
import { poolFlags, type PoolSettings } from "../pool/settings.ts";
import type { Directory } from "./directory.ts";
import type { FlagBook } from "./flag-book.ts";
import type { FleetStore } from "./machine.ts";

/** What each pool should know of flags, catalog and supply, and what it is known to know. */
export class PoolSettingsBook {
  readonly #store: Pick<FleetStore, "configured" | "saveConfigured">;
  readonly #flagBook: FlagBook;
  readonly #directory: Directory;
  /** Version of the settings that each pool has confirmed. */
  readonly #confirmed: Map<string, number>;

  constructor(
    store: Pick<FleetStore, "configured" | "saveConfigured">,
    flagBook: FlagBook,
    directory: Directory,
  ) {
    this.#store = store;
    this.#flagBook = flagBook;
    this.#directory = directory;
    this.#confirmed = new Map(store.configured());
  }

  of(pool: string, now: number): PoolSettings {
    const { flags, version } = this.#flagBook;
    const floor = this.#directory.entry(pool)?.decode_floor_tps ?? null;
    return { version, flags: poolFlags(flags, floor), supply: this.#directory.supply(pool, flags, now) };
  }

  /** Streams one machine may decode at once. */
  slotsOf(pool: string): number {
    return this.#directory.entry(pool)?.max_concurrency ?? Number.MAX_SAFE_INTEGER;
  }

  /** Written down, or a fleet that has slept would wake all pools to tell them what they know. */
  confirmed(pool: string, version: number): void {
    if (this.#confirmed.get(pool) === version) return;
    this.#confirmed.set(pool, version);
    this.#store.saveConfigured(pool, version);
  }

  /** Those of these pools, and of the catalog's, that have not confirmed what is in force. */
  unconfirmed(pools: Iterable<string>): string[] {
    const catalog: readonly ModelId[] = (this.#directory.catalog?.entries ?? []).map(({ id }) => id);
    const all = new Set<string>([...pools, ...catalog]);
    return [...all].filter((pool) => this.#confirmed.get(pool) !== this.#flagBook.version);
  }
}
