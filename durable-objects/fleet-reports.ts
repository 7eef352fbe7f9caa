import type { ApiError } from "../core/api-error.ts";
import { capacity, type Capacity } from "../core/fleet/capacity.ts";
import type { ControlPlane } from "../core/fleet/control-plane.ts";
import { unknownMachine } from "../core/fleet/directory.ts";
import { viewMachine, type FleetView } from "../core/fleet/fleet-view.ts";
import { floorWarnings } from "../core/fleet/floors.ts";
import type { IdlePools } from "../core/fleet/idle-pools.ts";
import { machineDetails, type MachineDetails } from "../core/fleet/machine-details.ts";
import {
  placementReport,
  previewReport,
  type PlacementPreview,
  type PlacementReport,
} from "../core/fleet/placement-report.ts";
import { replayMachines, type ReplayMachine } from "../core/fleet/replay-fleet.ts";
import { contextWarnings } from "../core/fleet/served-context.ts";
import type { Simulation } from "../core/fleet/simulation.ts";
import { NOTHING_USEFUL, usefulModels } from "../core/fleet/useful-models.ts";
import { machineRow, utilization, type MachineRow, type Utilization } from "../core/fleet/utilization.ts";
import { CAPACITY_ANSWER_MS, CAPACITY_TTL_MS, SCRAPE_POOLS_MS } from "../core/limits.ts";
import type { FleetScrape } from "../core/metrics.ts";
import { machineIdSchema } from "../protocol/ids.ts";
import type { Operators } from "./operators.ts";
import { SETTLE_LIMIT_MS, type Pools, type Totals } from "./pools.ts";
import type { SqlFleetStore } from "./storage/fleet-store.ts";

/** What the fleet shows of itself. Nothing here orders anything; pools are read as seldom as the answer allows. */

/** Plans in a report. */
const REPORTED_PLANS = 50;

export type PreviewVerdict =
  | { readonly ok: true; readonly preview: PlacementPreview }
  | { readonly ok: false; readonly error: ApiError };

export interface FleetParts {
  readonly core: ControlPlane;
  readonly pools: Pools;
  readonly idlePools: IdlePools;
  readonly operators: Operators;
  readonly store: SqlFleetStore;
}

export class FleetReports {
  readonly #core: ControlPlane;
  readonly #pools: Pools;
  readonly #idlePools: IdlePools;
  readonly #operators: Operators;
  readonly #store: SqlFleetStore;
  #capacity: { readonly at: number; readonly read: Promise<Capacity> } | null = null;

  constructor({ core, pools, idlePools, operators, store }: FleetParts) {
    this.#core = core;
    this.#pools = pools;
    this.#idlePools = idlePools;
    this.#operators = operators;
    this.#store = store;
  }

  /** The report of all pools, read from them now (C20). */
  async utilization(): Promise<Utilization> {
    return this.#utilizationIn(await this.#pools.view());
  }

  /** The newest plan and those before it that moved something. */
  placement(): PlacementReport {
    const { placement, directory, flagBook } = this.#core;
    const { flags } = flagBook;
    const catalog = directory.catalog?.entries ?? [];
    const now = Date.now();
    const { reports } = this.#core.view(now);
    return placementReport(
      placement.last,
      placement.history(REPORTED_PLANS),
      placement.scoredDays,
      flags,
      [...floorWarnings(catalog, directory.all(), flags), ...contextWarnings(catalog, reports)],
      { actsAs: placement.actsAs(flags), trial: placement.trialReport(flags, now) },
    );
  }

  /** What placement would do now under other circumstances. */
  async simulatePlacement(asked: Simulation): Promise<PreviewVerdict> {
    const { directory, placement, flagBook } = this.#core;
    for (const id of Object.keys(asked.machines)) {
      const parsed = machineIdSchema.safeParse(id);
      if (parsed.success && directory.get(parsed.data) !== null) continue;
      return { ok: false, error: { ...unknownMachine(id), param: `machines.${id}` } };
    }
    const view = await this.#pools.view();
    const { catalog } = directory;
    if (catalog === null) {
      const message = "the fleet has no catalog yet";
      return { ok: false, error: { code: "try_again", message, retryAfterS: 1 } };
    }
    const { plan, input } = placement.preview(view, catalog, flagBook.flags, asked);
    return { ok: true, preview: previewReport(plan, input) };
  }

  /** The connected machines, and how each serves what it can; none without a catalog. */
  async replayMachines(): Promise<ReplayMachine[]> {
    const view = await this.#pools.view();
    const { directory, placement, flagBook } = this.#core;
    const { catalog } = directory;
    return catalog === null ? [] : replayMachines(view, catalog, flagBook.flags, placement.loadTimes);
  }

  /** What each pool can take, read from them at most every two seconds however many ask. */
  async capacity(): Promise<Capacity> {
    const now = Date.now();
    if (this.#capacity === null || now - this.#capacity.at >= CAPACITY_TTL_MS) {
      this.#capacity = { at: now, read: this.#readCapacity() };
    }
    return this.#capacity.read;
  }

  /** What `GET /metrics` shows. Pools without machines are not woken for counts that have not changed. */
  async metrics(): Promise<FleetScrape> {
    await this.#operators.needCatalog();
    const models = this.#core.models();
    const withMachines = this.#core.pools();
    const without = models.filter((model) => !withMachines.has(model));
    const totals: Totals = this.#idlePools.totalsOf(without, Date.now());
    const read = new Set<string>([...without.filter((model) => !totals.has(model)), ...withMachines]);
    const view = await this.#pools.view([...read], SCRAPE_POOLS_MS, totals);
    const { model_pools } = this.#utilizationIn(view);
    return {
      totals: new Map(models.map((model) => [model, totals.get(model) ?? null])),
      pools: model_pools.pools,
      demand: (this.#core.placement.last?.models ?? []).map(({ modelId, demandMachines }) => ({
        model: modelId,
        machines: demandMachines,
      })),
      coResidentMachines: model_pools.co_resident_machines,
      switches: this.#store.switchTotals(),
    };
  }

  async machines(): Promise<MachineRow[]> {
    const view = await this.#pools.view();
    return view.machines.map((machine) => machineRow(viewMachine(view, machine), view.now));
  }

  /** One machine and why it is idle; null for one that is not known. */
  async machine(machineId: string): Promise<MachineDetails | null> {
    const machine = this.#core.directory.get(machineIdSchema.parse(machineId));
    if (machine === null) return null;
    // Only these can know it, and many machines may ask.
    const pools = this.#core.memberships.of(machine.machineId);
    const view = await this.#pools.view(pools, SETTLE_LIMIT_MS);
    const { placement, directory, flagBook } = this.#core;
    const stay = placement.last?.machines.find((each) => each.machineId === machine.machineId);
    const { catalog } = directory;
    const useful =
      catalog === null
        ? NOTHING_USEFUL
        : usefulModels(view, machine, catalog, flagBook.flags, placement.knownDemand);
    return machineDetails(view, machine, flagBook.flags, stay?.reason ?? null, useful, pools);
  }

  /** Pools without machines are not woken for it. */
  async #readCapacity(): Promise<Capacity> {
    await this.#operators.needCatalog();
    const pools = this.#core.pools();
    const view = await this.#pools.view([...pools], CAPACITY_ANSWER_MS);
    return capacity(view, pools, this.#core.flagBook.flags.shed_models);
  }

  #utilizationIn(view: FleetView): Utilization {
    const { flags } = this.#core.flagBook;
    const { last } = this.#core.placement;
    const isDeciding = flags.placement !== "off" && last !== null && last.mode !== "off";
    const desired = isDeciding ? new Map(last.models.map((model) => [model.modelId, model.desired])) : null;
    const floors = new Map(this.#core.directory.catalog?.entries.map(({ id, floor }) => [id, floor]));
    return utilization(view, flags, desired, floors, this.#core.refusedDials(view.now));
  }
}
