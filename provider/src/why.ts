import { z } from "zod";

import { askCoordinator } from "./ask-coordinator.ts";
import { coordinatorUrl, providerUrl, type ConnectionOptions } from "./connection.ts";
import type { WhyOptions } from "./options.ts";
import { knownMachineId } from "./state/identity.ts";
import { UserError } from "./user-error.ts";

/**
 * `poolkeeper-provider why`: what the coordinator sees of this machine, in one look and from outside the program that serves. It
 * is the coordinator that decides who gets requests, so nothing here is judged by this machine itself.
 */

const text = z.string().max(2000);

/** What an older coordinator does not say yet is left out. */
const answerSchema = z.object({
  state: text,
  gate: text.nullable(),
  why: text,
  fix: text.nullable(),
  unmanaged_because: text.nullable().default(null),
  stays_because: text.nullable().default(null),
  advice: text.nullable().default(null),
  useful_models: z
    .array(
      z.object({
        model_id: text,
        on_disk: z.boolean(),
        holds: z.boolean(),
        requests_per_hour: z.number().nullable(),
        obstacle: text.nullable(),
      }),
    )
    .default([]),
});

type Answer = z.infer<typeof answerSchema>;

const usageSchema = z.object({
  usage: z.array(z.object({ model_id: text, requests: z.number(), completion_tokens: z.number() })),
});

/** The present UTC day and those before it. */
const USAGE_DAYS = 7;

const versionSchema = z.object({ provider: z.object({ current: text, minimum: text.nullable() }) });

/**
 * Prints it.
 * @param version of this program.
 * @returns whether requests of everybody may come to this machine now.
 * @throws UserError if it is not known which machine this is.
 */
export async function why(options: WhyOptions, version: string): Promise<boolean> {
  const { coordinator, token, stateDirectory, warnings } = options;
  const machineId = options.machineId ?? knownMachineId(stateDirectory);
  if (machineId === null) {
    throw new UserError(
      `No machine has been started with the state directory ${stateDirectory}. Give --state or --machine-id.`,
    );
  }
  for (const warning of warnings) console.error(`warning: ${warning}`);
  const userAgent = `poolkeeper-provider/${version}`;
  const { lines, isOpen } = await askWhy({ coordinator, token, machineId, userAgent }, version);
  for (const line of lines) console.log(line);
  return isOpen;
}

interface WhyReport {
  readonly lines: readonly string[];
  readonly isOpen: boolean;
}

async function askWhy(connection: ConnectionOptions, version: string): Promise<WhyReport> {
  const { coordinator, machineId } = connection;
  const head = [`${machineId} at ${coordinator.origin}`];
  const versions = await askCoordinator(coordinatorUrl(coordinator, "/version"), connection, versionSchema);
  if (!versions.ok) return { lines: [...head, row("coordinator", versions.problem)], isOpen: false };
  const { current, minimum } = versions.value.provider;
  const needed = minimum === null ? "" : `, and the oldest that it takes ${minimum}`;
  const provider = row("provider", `${version}; the coordinator's is ${current}${needed}`);
  const answer = await askCoordinator(
    providerUrl(coordinator, "explain", machineId),
    connection,
    answerSchema,
  );
  if (!answer.ok) return { lines: [...head, provider, row("coordinator", answer.problem)], isOpen: false };
  const url = providerUrl(coordinator, "usage", machineId);
  url.searchParams.set("days", String(USAGE_DAYS));
  const usage = await askCoordinator(url, connection, usageSchema);
  // An older coordinator does not count it.
  const answered = usage.ok ? [row(`last ${USAGE_DAYS} days`, answeredBy(usage.value.usage))] : [];
  const lines = [...head, provider, ...linesOf(answer.value), ...answered];
  return { lines, isOpen: answer.value.gate === null };
}

function linesOf(answer: Answer): string[] {
  const { state, why: reason, fix, unmanaged_because: unmanaged, stays_because: stays, advice } = answer;
  return [
    row("state", state),
    row("why", reason),
    ...(fix === null ? [] : [row("what helps", fix)]),
    ...(unmanaged === null ? [] : [row("no orders", unmanaged)]),
    ...(stays === null ? [] : [row("last plan", `leaves it where it is: ${stays}`)]),
    ...answer.useful_models.map((model, index) => row(index === 0 ? "models" : "", modelOf(model))),
    ...(advice === null ? [] : [row("advice", advice)]),
  ];
}

function answeredBy(rows: z.infer<typeof usageSchema>["usage"]): string {
  const models = [...new Set(rows.map(({ model_id }) => model_id))].map((model) => {
    const days = rows.filter(({ model_id }) => model_id === model);
    const sum = (of: "requests" | "completion_tokens"): number =>
      days.reduce((total, day) => total + day[of], 0);
    return `${model}: ${counted(sum("requests"), "request")}, ${counted(sum("completion_tokens"), "token")}`;
  });
  return models.length === 0 ? "no requests answered" : models.join("; ");
}

function modelOf({ model_id, on_disk, holds, requests_per_hour, obstacle }: Answer["useful_models"][number]) {
  const where = holds ? "held" : on_disk ? "on the disk" : "not here";
  const worth = obstacle ?? `${counted(requests_per_hour ?? 0, "request")} an hour more`;
  return `${model_id} (${where}): ${worth}`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function row(name: string, value: string): string {
  return `  ${name.padEnd(12)}${value}`;
}
