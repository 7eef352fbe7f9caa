import type { ModelId } from "../../protocol/ids.ts";
import { poolFlags, type PoolSettings } from "../pool/settings.ts";
import type { Directory } from "./directory.ts";
import type { FlagBook } from "./flag-book.ts";
import type { FleetStore } from "./machine.ts";

/** The settings (flags, catalog, supply) for each pool, and which version each pool has confirmed. */
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

  /** Stored, because otherwise a fleet that has hibernated would wake all pools to send them what they have. */
  confirmed(pool: string, version: number): void {
    if (this.#confirmed.get(pool) === version) return;
    this.#store.saveConfigured(pool, version);
    this.#confirmed.set(pool, version);
  }

  /** Of these pools and those of the catalog, the ones that have not confirmed the current settings. */
  unconfirmed(pools: Iterable<string>): string[] {
    const catalog: readonly ModelId[] = (this.#directory.catalog?.entries ?? []).map(({ id }) => id);
    const all = new Set<string>([...pools, ...catalog]);
    return [...all].filter((pool) => this.#confirmed.get(pool) !== this.#flagBook.version);
  }
}
