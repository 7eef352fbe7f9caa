import fc from "fast-check";

import { DEFAULT_PLACEMENT_CONFIG } from "../../../../core/placement/config.ts";
import type {
  Fitness,
  PlacementConfig,
  PlacementInput,
  PlacementMachine,
  PlacementModel,
  TickDemand,
} from "../../../../core/placement/types.ts";
import { modelIdSchema, type ModelId } from "../../../../protocol/ids.ts";

/** Fleets of all sorts, with what two ticks in a row count of them. */

export interface RandomFleet {
  readonly config: PlacementConfig;
  readonly first: PlacementInput;
  readonly second: PlacementInput;
  /** Models whose demand is rough by the second tick, and has been watched for so long that moves must pay by what lasts. */
  readonly rough: readonly ModelId[];
}

const NOW = 1_800_000_000_000;
const IDS = ["a", "b", "c", "d"].map((id) => modelIdSchema.parse(id));

const fitness: fc.Arbitrary<Fitness> = fc.record({
  slots: fc.integer({ min: 1, max: 6 }),
  decodeTps: fc.constantFrom(10, 20, 20, 45),
  prefillTps: fc.constantFrom(1, 900, 900),
  loadSeconds: fc.constantFrom(0, 30, 30, 100, 1000),
  onDisk: fc.constantFrom(true, true, false),
});

const fits = fc
  .tuple(...IDS.map(() => fc.option(fitness, { freq: 5 })))
  .map((list) =>
    Object.fromEntries(IDS.flatMap((id, at) => (list[at] == null ? [] : [[id, list[at]] as const]))),
  );

const held = fc.oneof(
  fc.record({
    state: fc.constantFrom("serving", "serving", "serving", "unmanaged", "failed" as const),
    model: fc.constantFrom(...IDS),
    loadDeadlineAt: fc.constant(null),
  }),
  fc.record({
    state: fc.constantFrom("draining", "loading" as const),
    model: fc.constantFrom(...IDS),
    loadDeadlineAt: fc.constantFrom(null, NOW, NOW + 60_000),
  }),
  fc.record({
    state: fc.constantFrom("offline", "cordoned", "empty" as const),
    model: fc.constant(null),
    loadDeadlineAt: fc.constant(null),
  }),
);

const cooldown: fc.Arbitrary<Record<ModelId, number>> = fc
  .option(fc.tuple(fc.constantFrom(...IDS), fc.constantFrom(NOW - 1, NOW + 60_000, NOW + 300_000)))
  .map((one) => (one === null ? {} : { [one[0]]: one[1] }));

function machines(kinds: readonly PlacementMachine["fits"][]): fc.Arbitrary<PlacementMachine[]> {
  const machine = fc.record({
    place: fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 2, arbitrary: held }),
    at: fc.nat(),
    // Also some that were assigned in the future, by a clock that has gone back.
    age: fc.constantFrom(0, 60, 299, 300, 301, 3600, 80_000, -5),
    isPinned: fc.constantFrom(false, false, false, false, true),
    isManageable: fc.constantFrom(true, true, true, true, false),
    cooldownUntil: cooldown,
    inFlight: fc.constantFrom(0, 0, 3),
    wentAt: fc.constantFrom(null, null, NOW - 30_000, NOW),
  });
  return fc.array(machine, { maxLength: 14 }).map((list) =>
    list.map(({ place, at, age, isPinned, ...rest }, index) => {
      const serving = { state: "serving", model: IDS[at % 2] ?? null, loadDeadlineAt: null } as const;
      const where = place ?? serving;
      return {
        machineId: `mac-${(index * 7) % 15}`,
        ...where,
        // Whoever pins a machine has given it a model.
        isPinned: isPinned && where.state !== "unmanaged",
        assignedAt: NOW - age * 1000,
        fits: kinds[at % kinds.length] ?? {},
        ...rest,
      };
    }),
  );
}

const models: fc.Arbitrary<PlacementModel[]> = fc
  .array(
    fc.record({
      floor: fc.constantFrom(0, 0, 0, 1, 2, 20),
      cap: fc.constantFrom(null, null, 0, 1, 3),
      priority: fc.constantFrom(0, 1, 1, 1, 1000),
    }),
    { maxLength: IDS.length },
  )
  .map((list) => list.flatMap((rest, at) => IDS.slice(at, at + 1).map((modelId) => ({ modelId, ...rest }))));

const demand: fc.Arbitrary<TickDemand[]> = fc
  .tuple(
    ...IDS.map((modelId) =>
      fc.option(
        fc.record({
          modelId: fc.constant(modelId),
          offered: fc.constantFrom(0, 1, 5, 40, 300),
          good: fc.constantFrom(0, 5, 300),
          promptTokensMean: fc.constantFrom(null, 0, 500),
          outputTokensMean: fc.constantFrom(null, 0, 200),
        }),
        { freq: 6 },
      ),
    ),
  )
  .map((list) => list.filter((tick) => tick !== null));

const config = fc
  .record({
    minDwellSeconds: fc.constantFrom(300, 300, 0),
    maxLoadsPerTick: fc.constantFrom(4, 4, 0, 1, 100),
    maxPendingLoads: fc.constantFrom(16, 16, 0, 2),
    fairness: fc.constantFrom(1, 1, 3),
    decodeFloorTps: fc.constantFrom(15, 15, 0),
  })
  .map((change): PlacementConfig => ({ ...DEFAULT_PLACEMENT_CONFIG, ...change }));

export const randomFleet: fc.Arbitrary<RandomFleet> = fc
  .array(fits, { minLength: 1, maxLength: 3 })
  .chain((kinds) =>
    fc.record({
      config,
      models,
      machines: machines(kinds),
      demands: fc.tuple(demand, demand),
      elapsedSeconds: fc.integer({ min: 0, max: 4000 }),
      // As in the live fleet, where no two share what they are told apart by.
      isEachOwn: fc.boolean(),
      rough: fc.subarray(IDS),
    }),
  )
  .map(({ demands, isEachOwn, elapsedSeconds, machines: fleet, models: catalog, config: knobs, rough }) => {
    const own = isEachOwn ? fleet.map((machine) => ({ ...machine, fits: { ...machine.fits } })) : fleet;
    const input = { now: NOW, models: catalog, machines: own };
    const counted = (list: readonly TickDemand[]): TickDemand[] =>
      list.filter((tick) => catalog.some(({ modelId }) => modelId === tick.modelId));
    return {
      config: knobs,
      first: { ...input, demand: counted(demands[0]), elapsedSeconds: 30 },
      second: { ...input, demand: counted(demands[1]), elapsedSeconds },
      rough,
    };
  });

/** Fleets in which nearly all machines may move and many should: their demand has nothing to do with where they are. */
export const unsettledFleet: fc.Arbitrary<RandomFleet> = fc
  .tuple(
    randomFleet,
    fc.array(
      fc.record({
        at: fc.nat(),
        age: fc.constantFrom(400, 3600, 80_000),
        inFlight: fc.constantFrom(0, 3),
        isUnplaced: fc.constantFrom(false, false, false, true),
      }),
      { minLength: 10, maxLength: 30 },
    ),
    fc.tuple(...IDS.map(() => fc.constantFrom(1, 10, 60, 400))),
  )
  .map(([{ config: knobs, first, second, rough }, list, counts]) => {
    const kinds = first.machines.map((machine) => machine.fits);
    const more = list.map(({ at, age, inFlight, isUnplaced }, index): PlacementMachine => ({
      machineId: `mac-${100 + ((index * 7) % 31)}`,
      state: isUnplaced ? "unmanaged" : "serving",
      model: IDS[at % IDS.length] ?? null,
      loadDeadlineAt: null,
      assignedAt: NOW - age * 1000,
      isPinned: false,
      isManageable: true,
      fits: kinds[at % kinds.length] ?? {},
      cooldownUntil: {},
      inFlight,
      wentAt: null,
    }));
    const asked = IDS.map((modelId, at) => ({
      modelId,
      offered: counts[at] ?? 0,
      good: 0,
      promptTokensMean: 500,
      outputTokensMean: 200,
    }));
    const input = {
      ...first,
      models: IDS.map((modelId) => ({ modelId, floor: 0, cap: null, priority: 1 })),
      machines: [...first.machines, ...more],
      demand: asked,
    };
    return {
      config: { ...knobs, maxLoadsPerTick: 12, maxPendingLoads: 100 },
      first: input,
      second: { ...input, elapsedSeconds: second.elapsedSeconds },
      rough,
    };
  });
