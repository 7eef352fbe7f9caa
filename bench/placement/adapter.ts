/* Drives the planner from a simulator: one JSON line in, one JSON line out. */
import { createInterface } from "node:readline";

import { DEFAULT_PLACEMENT_CONFIG, EMPTY_PLACEMENT_STATE } from "../../core/placement/config.ts";
import { plan } from "../../core/placement/plan.ts";
import type { Fitness, MachineState, PlacementConfig, PlacementState } from "../../core/placement/types.ts";
import type { ModelId } from "../../protocol/ids.ts";

interface Init {
  type: "init";
  tickS: number;
  budget: number;
  pendingCap: number;
  minDwellS: number;
  tpsFloor: number;
  models: { id: string }[];
  machines: {
    id: string;
    slots: number[];
    tps: number[];
    prefillTps: number[];
    fits: number[];
    loadS: number[];
  }[];
}
interface Tick {
  type: "tick";
  t: number;
  models: { offered: number; good: number; meanPrompt: number; meanOutput: number }[];
  machines: {
    model: number;
    state: MachineState;
    inflight: number;
    assignedAt: number;
    cooldownUntil: number[];
  }[];
}

const digits = (index: number): string => `${index}`.padStart(6, "0");
let [init, state]: [Init | null, PlacementState] = [null, EMPTY_PLACEMENT_STATE];
let config: PlacementConfig = DEFAULT_PLACEMENT_CONFIG;
let [ids, fits]: [ModelId[], Record<ModelId, Fitness>[]] = [[], []];

function begin(message: Init): void {
  init = message;
  config = {
    ...DEFAULT_PLACEMENT_CONFIG,
    tickSeconds: message.tickS,
    maxLoadsPerTick: message.budget,
    maxPendingLoads: message.pendingCap,
    minDwellSeconds: message.minDwellS,
    decodeFloorTps: message.tpsFloor,
  };
  ids = message.models.map((_, at) => digits(at) as ModelId);
  fits = message.machines.map((machine) =>
    Object.fromEntries(
      ids.flatMap((id, k) =>
        machine.fits[k]
          ? [
              [
                id,
                {
                  slots: machine.slots[k]!,
                  decodeTps: machine.tps[k]!,
                  prefillTps: machine.prefillTps[k]!,
                  loadSeconds: machine.loadS[k]!,
                  onDisk: true,
                },
              ],
            ]
          : [],
      ),
    ),
  );
}

function switches(message: Tick): [number, number][] {
  const result = plan(
    state,
    {
      now: message.t * 1000,
      elapsedSeconds: init!.tickS,
      models: ids.map((modelId) => ({ modelId, floor: 0, cap: null, priority: 1 })),
      demand: message.models.map(({ offered, good, meanPrompt, meanOutput }, k) => ({
        modelId: ids[k]!,
        offered,
        good,
        promptTokensMean: offered > 0 ? meanPrompt : null,
        outputTokensMean: offered > 0 ? meanOutput : null,
      })),
      machines: message.machines.map((machine, m) => ({
        machineId: digits(m),
        model: ids[machine.model] ?? null,
        state: machine.state,
        loadDeadlineAt: null,
        assignedAt: machine.assignedAt * 1000,
        isPinned: false,
        isManageable: true,
        fits: fits[m]!,
        cooldownUntil: Object.fromEntries(ids.map((id, k) => [id, machine.cooldownUntil[k]! * 1000])),
        inFlight: machine.inflight,
      })),
    },
    config,
  );
  state = result.state;
  return result.moves.map(({ machineId, to }) => [Number(machineId), Number(to)]);
}

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line) as Init | Tick;
  if (message.type === "init") begin(message);
  process.stdout.write(`${JSON.stringify(message.type === "init" ? {} : { switches: switches(message) })}\n`);
}
