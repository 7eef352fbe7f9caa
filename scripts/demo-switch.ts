import OpenAI from "openai";

import { ChatLoop } from "./chat-loop.ts";
import type { DemoStage } from "./demo-stage.ts";
import { describe, watchSwitch } from "./demo-watch.ts";
import { UserError } from "./user-error.ts";

/**
 * The demo's live switch: one machine is ordered from one model to the other while chats to both models go on. Each
 * step is printed as the coordinator reports it, then what came of the chats meanwhile. The flags stay on.
 */

export interface Switch {
  readonly machineId: string;
  readonly from: string;
  readonly to: string;
}

/** A client that is refused comes back after this long. */
const PAUSE_MS = 20;

/** @throws UserError if the switch fails, or an answer came from the wrong model. */
export async function demoSwitch(
  { admin, flags, baseUrl, apiKey, print }: DemoStage,
  { machineId, from, to }: Switch,
): Promise<void> {
  await flags.set("assignment_gate", "on");
  await flags.set("pool_exhausted_429", "on");
  await admin.pin(machineId, from);
  await watchSwitch(admin, machineId, from, () => {});
  print(`\nSwitching ${machineId} from ${from} to ${to}, while chats to both go on:`);
  const chats = [from, to].map((model) => new ChatLoop(baseUrl, apiKey, model, PAUSE_MS));
  for (const chat of chats) chat.start();
  await Promise.all(chats.map((chat) => chat.answered()));
  const long = await startLongAnswer(baseUrl, apiKey, from);
  const epoch = await admin.pin(machineId, to);
  const startedAt = performance.now();
  const seconds = (): string => ((performance.now() - startedAt) / 1000).toFixed(2).padStart(6);
  print(`${seconds()} s  ordered, epoch ${epoch}`);
  await watchSwitch(admin, machineId, to, (machine) => print(`${seconds()} s  ${describe(machine)}`));
  for (const chat of chats) await chat.stop();
  print(
    `  meanwhile   the long answer of ${from} that was running was finished: ${await long.length} tokens`,
  );
  for (const chat of chats) print(`  meanwhile   ${chat.summary()}`);
  if (chats.some((chat) => chat.hasWrongAnswer()))
    throw new UserError("An answer came from the wrong model.");
  const { pools, last_switches, co_resident_machines } = (await admin.utilization()).model_pools;
  const sizes = pools.map(({ model_id, serving, unmanaged }) => `${model_id} ${serving + unmanaged}`);
  print(
    `  report      machines serving: ${sizes.join(", ")}; with two models in memory: ${co_resident_machines}`,
  );
  const [last] = last_switches;
  if (last?.machine_id !== machineId || last.outcome !== "succeeded" || last.epoch !== epoch) {
    throw new UserError(`The switch history does not show the switch: ${JSON.stringify(last)}`);
  }
  print(
    `  history     ${last.machine_id}: ${last.from} -> ${last.to}, ${last.reason}, ${last.outcome} in ${(last.took_ms / 1000).toFixed(2)} s`,
  );
}

/**
 * Starts an answer that takes a moment: the switch has to wait for it.
 * @returns as soon as it has begun; `length` settles with its tokens when it has ended.
 */
async function startLongAnswer(
  baseURL: string,
  apiKey: string,
  model: string,
): Promise<{ readonly length: Promise<number> }> {
  const stream = await new OpenAI({ baseURL, apiKey }).chat.completions.create({
    model,
    messages: [{ role: "user", content: "Count." }],
    stream: true,
    stream_options: { include_usage: true },
    max_tokens: 700,
    response_format: {
      type: "json_schema",
      json_schema: { name: "count", schema: { type: "array", items: { type: "integer" }, minItems: 300 } },
    },
  });
  const count = async (): Promise<number> => {
    let tokens = 0;
    for await (const chunk of stream) tokens = chunk.usage?.completion_tokens ?? tokens;
    return tokens;
  };
  return { length: count() };
}
