import { readFileSync } from "node:fs";

import { z } from "zod";

import { whyAboveCap } from "../../core/catalog.ts";
import { fieldProblems, firstProblem } from "../../protocol/field-problems.ts";
import { BadInput } from "./bad-input.ts";
import { SWITCH_MAX_S } from "./machine.ts";

/**
 * The fleet file: machines, models and how hard to press them. One machine unit is one machine of speed 1, which
 * serves `machine_requests_per_minute`. Every optional field is a disturbance or a refinement, off unless given.
 */
const positive = z.number().positive().max(1e9);

export const fleetFileSchema = z.strictObject({
  machines: z
    .array(
      z.strictObject({
        count: z.int().min(1).max(10_000),
        memory_gb: positive,
        chip: z.string(),
        /** Requests a minute relative to the flat rate: one factor, or one per model id, 0 for one that it cannot serve. */
        speed: z.union([positive, z.record(z.string(), z.number().min(0).max(1e9))]).optional(),
      }),
    )
    .min(1),
  models: z
    .array(
      z
        .strictObject({
          id: z.string().min(1),
          /** Part of the mean demand; all are rescaled to add up to 1. With 0 nobody asks for it, and it holds its floor. */
          share: z.number().min(0).max(1e15),
          size_gb: positive,
          min_ram_gb: z.number().min(0).max(1e9),
          /** Machines the model should always keep, and may at most have. */
          floor: z.int().min(0).default(0),
          cap: z.int().min(1).nullable().optional(),
          /** A weight: the greedy policy fills the largest first. */
          priority: z.number().min(0).max(1000).default(1),
        })
        .superRefine(({ floor, cap = null }, context) => {
          const message = whyAboveCap(floor, cap);
          if (message !== null) context.addIssue({ code: "custom", path: ["floor"], message });
        }),
    )
    .min(1),
  /** Mean demand over capacity. */
  load: positive,
  machine_requests_per_minute: positive,
  /** What a switch costs (drain, load, warm-up), at most what the coordinator waits for. The optimum counts whole minutes, rounded up. */
  switch_seconds: z.number().min(0).max(SWITCH_MAX_S),
  /** `perfect`: last minute's demand. `refusals`: whole arrivals at the door, half of the refused come back once. */
  observe: z.enum(["perfect", "refusals"]),
  /** Single machines leave after an exponential time and come back after a uniform one. */
  churn: z
    .strictObject({
      mean_hours: positive,
      away_minutes_min: z.int().min(1).default(5),
      away_minutes_max: z.int().min(1).default(30),
    })
    .optional(),
  /** Chance that a load fails; the machine is then empty until it is given a model again. */
  load_failures: z.number().min(0).max(1).default(0),
  /** At this minute this share of all machines leaves together. */
  mass_disconnects: z
    .array(
      z.strictObject({
        at_minute: z.int().min(0),
        share: z.number().gt(0).max(1),
        away_minutes: z.int().min(1),
      }),
    )
    .default([]),
});

export type FleetFile = z.infer<typeof fleetFileSchema>;

/** Machine units that a machine is for a model; 0 if it cannot serve it. */
export function speedOf(
  { memory_gb, speed = 1 }: FleetFile["machines"][number],
  { id, min_ram_gb }: FleetFile["models"][number],
): number {
  if (memory_gb < min_ram_gb) return 0;
  return typeof speed === "object" ? (speed[id] ?? 1) : speed;
}

export function readFleetFile(path: string): FleetFile {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new BadInput(
      `The fleet file ${path} cannot be read: ${error instanceof Error ? error.message : "?"}.`,
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new BadInput(
      `The fleet file ${path} is not JSON: ${error instanceof Error ? error.message : "?"}.`,
    );
  }
  return parseFleetFile(json, path);
}

export function parseFleetFile(json: unknown, name: string): FleetFile {
  const parsed = fleetFileSchema.safeParse(json, { error: fieldProblems });
  if (!parsed.success) {
    const { param, message } = firstProblem(parsed.error);
    throw new BadInput(`${name}: ${param || "the file"}: ${message}.`);
  }
  const fleet = parsed.data;
  const ids = fleet.models.map((model) => model.id);
  if (new Set(ids).size !== ids.length) throw new BadInput(`${name}: two models have the same id.`);
  for (const model of fleet.models) {
    const fitting = fleet.machines.filter((machine) => speedOf(machine, model) > 0);
    const machines = fitting.reduce((sum, machine) => sum + machine.count, 0);
    if (machines === 0) throw new BadInput(`${name}: the model "${model.id}" fits on no machine.`);
    if (model.floor > machines) {
      throw new BadInput(`${name}: the floor of "${model.id}" is above the ${machines} machines it fits on.`);
    }
  }
  if (fleet.models.every(({ share }) => share === 0)) {
    throw new BadInput(`${name}: the shares of all models are 0.`);
  }
  const machineCount = fleet.machines.reduce((sum, machine) => sum + machine.count, 0);
  if (fleet.models.reduce((sum, model) => sum + model.floor, 0) > machineCount) {
    throw new BadInput(`${name}: the floors add up to more than the ${machineCount} machines.`);
  }
  for (const machine of fleet.machines) {
    const named = typeof machine.speed === "object" ? Object.keys(machine.speed) : [];
    const unknown = named.find((id) => !ids.includes(id));
    if (unknown !== undefined) throw new BadInput(`${name}: a speed names "${unknown}", which is no model.`);
  }
  if (fleet.churn && fleet.churn.away_minutes_min > fleet.churn.away_minutes_max) {
    throw new BadInput(`${name}: churn.away_minutes_min is above churn.away_minutes_max.`);
  }
  return fleet;
}
