import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import type { RowSpec } from "../row.ts";
import type { Target } from "../support/chat.ts";
import { Coordinator, MODEL } from "../support/coordinator.ts";
import { cpuMicros } from "../support/processes.ts";

/** What a refusal costs under a flood, beside the cheapest answer that the same Worker gives. */

const LANES = 32;
const ROUNDS = 3;
const WARM_UP_MS = 1000;
const WINDOW_MS = 3000;
const MIN_SHARE_OF_HEALTH = 0.4;

/** The Worker tells the pool what it has refused within half a second. */
const TOLD_MS = 2000;

const CHAT_BODY = JSON.stringify({
  model: MODEL,
  messages: [
    { role: "system", content: "You are a helpful assistant." },
    { role: "user", content: "Tell me something about foxes." },
  ],
});

interface Kind {
  readonly path: string;
  readonly body: string | null;
  readonly status: number;
}

const HEALTH: Kind = { path: "/health", body: null, status: 200 };
const REFUSAL: Kind = { path: "/v1/chat/completions", body: CHAT_BODY, status: 429 };

export const refusals: RowSpec = {
  work: "429s of an exhausted pool under a flood: how many a core gives for each answer of /health",
  target: `at least ${MIN_SHARE_OF_HEALTH}, each counted in the pool`,
  async run(quick) {
    const coordinator = await Coordinator.start();
    await coordinator.admin.setFlag("pool_exhausted_429", "on");
    // A fleet that could serve and does not, so that it is no fault.
    await coordinator.growTo(1);
    coordinator.dismissMachines();
    const { target } = coordinator;
    let sent = await warmUp(target);
    const [health, refusal] = [newTotal(), newTotal()];
    for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
      await measure(target, HEALTH, health, quick);
      sent += await measure(target, REFUSAL, refusal, quick);
    }
    await sleep(TOLD_MS);
    const counted = await coordinator.countOf("pool_exhausted");
    await coordinator.stop();
    const share = perAnswer(health) / perAnswer(refusal);
    return {
      reached:
        `${share.toFixed(2)}: ${perAnswer(refusal).toFixed(0)} µs of CPU beside ${perAnswer(health).toFixed(0)} µs, ` +
        `${perSecond(refusal).toFixed(0)}/s beside ${perSecond(health).toFixed(0)}/s as the load came; ` +
        `${counted} of ${sent} counted in the pool`,
      met: share >= MIN_SHARE_OF_HEALTH && counted === sent,
    };
  },
};

interface Total {
  micros: number;
  answers: number;
  elapsedMs: number;
}

/** @returns how many refusals there were. */
async function warmUp(target: Target): Promise<number> {
  // Once the machine has left, the first 429 comes.
  for (let refused = 0; ; await sleep(50)) {
    const count = (): void => {
      refused += 1;
    };
    await converse(target, REFUSAL, count, () => false).catch(() => undefined);
    if (refused > 0) return refused;
  }
}

/** @returns how many answers there were, those outside the window included. */
async function measure(target: Target, kind: Kind, total: Total, quick: boolean): Promise<number> {
  const { pid } = target;
  if (pid === null) throw new Error(`${target.name} has no process of its own`);
  let answers = 0;
  const count = (): void => {
    answers += 1;
  };
  const windowMs = quick ? WINDOW_MS / 2 : WINDOW_MS;
  const endsAt = performance.now() + WARM_UP_MS + windowMs;
  const lane = (): Promise<void> => converse(target, kind, count, () => performance.now() < endsAt);
  const lanes = Promise.all(Array.from({ length: LANES }, lane));
  // Whoever fails first ends the measurement; the others are not awaited then.
  const failed = lanes.then(() => undefined);
  await Promise.race([failed, sleep(WARM_UP_MS)]);
  const before = { micros: cpuMicros(pid), answers, at: performance.now() };
  await Promise.race([failed, sleep(windowMs)]);
  total.micros += cpuMicros(pid) - before.micros;
  total.answers += answers - before.answers;
  total.elapsedMs += performance.now() - before.at;
  await lanes;
  return answers;
}

/**
 * Asks the same again and again on one connection until `goesOn` says no. Over a bare socket: Node's HTTP client takes
 * longer for a request than the server does, and would be all that is measured.
 * @throws Error at an answer with another status.
 */
function converse(
  { url, headers }: Target,
  { path, body, status }: Kind,
  onAnswer: () => void,
  goesOn: () => boolean,
): Promise<void> {
  const { hostname, port } = new URL(url);
  const lines = [
    `${body === null ? "GET" : "POST"} ${path} HTTP/1.1`,
    `host: ${hostname}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ...(body === null ? [] : ["content-type: application/json", `content-length: ${body.length}`]),
  ];
  const question = `${lines.join("\r\n")}\r\n\r\n${body ?? ""}`;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect(Number(port), hostname, () => socket.write(question));
  let answer = "";
  socket.on("data", (bytes: Buffer) => {
    answer += bytes.toString("latin1");
    if (!isWhole(answer)) return;
    const got = Number(answer.slice(9, 12));
    answer = "";
    if (got !== status) reject(new Error(`${path} answered ${got}`));
    else onAnswer();
    if (got === status && goesOn()) socket.write(question);
    else socket.end();
  });
  socket.on("error", reject);
  socket.on("close", () => resolve());
  return promise;
}

function isWhole(answer: string): boolean {
  const headEnd = answer.indexOf("\r\n\r\n");
  const length = /content-length: (\d+)/i.exec(answer)?.[1];
  return headEnd >= 0 && length !== undefined && answer.length >= headEnd + 4 + Number(length);
}

function newTotal(): Total {
  return { micros: 0, answers: 0, elapsedMs: 0 };
}

function perSecond({ answers, elapsedMs }: Total): number {
  return (answers * 1000) / elapsedMs;
}

function perAnswer({ micros, answers }: Total): number {
  return micros / answers;
}
