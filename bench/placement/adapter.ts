/* Drives the planner from a simulator: one JSON line in, one JSON line out. Knobs can be set by arguments such as `kappa=0.1`. */
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
    fits: boolean[];
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
let state: PlacementState = EMPTY_PLACEMENT_STATE;
let config: PlacementConfig = DEFAULT_PLACEMENT_CONFIG;
let [ids, fits]: [ModelId[], Record<ModelId, Fitness>[]] = [[], []];

function begin(message: Init): void {
  config = {
    ...DEFAULT_PLACEMENT_CONFIG,
    ...Object.fromEntries(process.argv.slice(2).map(knobOf)),
    tickSeconds: message.tickS,
    maxLoadsPerTick: message.budget,
    maxPendingLoads: message.pendingCap,
    minDwellSeconds: message.minDwellS,
    decodeFloorTps: message.tpsFloor,
  };
  ids = message.models.map((_, k) => digits(k) as ModelId);
  fits = message.machines.map((machine) =>
    Object.fromEntries(
      ids.flatMap((id, k) => (machine.fits[k] === true ? [[id, fitnessOf(machine, k)] as const] : [])),
    ),
  );
}

function knobOf(argument: string): [string, number] {
  const [name = "", value] = argument.split("=");
  if (!(name in DEFAULT_PLACEMENT_CONFIG)) throw new RangeError(`no knob ${name}`);
  return [name, Number(value)];
}

function fitnessOf({ slots, tps, prefillTps, loadS }: Init["machines"][number], k: number): Fitness {
  return {
    slots: at(slots, k),
    decodeTps: at(tps, k),
    prefillTps: at(prefillTps, k),
    loadSeconds: at(loadS, k),
    onDisk: true,
  };
}

function at<T>(list: readonly T[], index: number): T {
  const entry = list[index];
  if (entry === undefined) throw new RangeError(`no entry ${index} of ${list.length}`);
  return entry;
}

function switches(message: Tick): [number, number][] {
  const result = plan(
    state,
    {
      now: message.t * 1000,
      elapsedSeconds: config.tickSeconds,
      models: ids.map((modelId) => ({ modelId, floor: 0, cap: null, priority: 1 })),
      demand: message.models.map(({ offered, good, meanPrompt, meanOutput }, k) => ({
        modelId: at(ids, k),
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
        fits: at(fits, m),
        cooldownUntil: Object.fromEntries(ids.map((id, k) => [id, at(machine.cooldownUntil, k) * 1000])),
        inFlight: machine.inflight,
        wentAt: null,
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
