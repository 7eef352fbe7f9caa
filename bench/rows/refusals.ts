import { Agent, request } from "node:http";
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

const agent = new Agent({ keepAlive: true, maxSockets: Infinity });

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
  work: "429s of an exhausted pool under a flood, requests/s as a share of /health",
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
    const share = perSecond(refusal) / perSecond(health);
    return {
      reached:
        `${share.toFixed(2)}: ${perSecond(refusal).toFixed(0)}/s beside ${perSecond(health).toFixed(0)}/s, ` +
        `${perAnswer(refusal).toFixed(0)} µs of CPU beside ${perAnswer(health).toFixed(0)} µs; ` +
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
  // The machine has left when the first 429 comes.
  while ((await ask(target, REFUSAL)) !== REFUSAL.status) await sleep(50);
  return 1;
}

/** @returns how many answers there were, those outside the window included. */
async function measure(target: Target, kind: Kind, total: Total, quick: boolean): Promise<number> {
  const { pid } = target;
  if (pid === null) throw new Error(`${target.name} has no process of its own`);
  let answers = 0;
  const windowMs = quick ? WINDOW_MS / 2 : WINDOW_MS;
  const endsAt = performance.now() + WARM_UP_MS + windowMs;
  const lane = async (): Promise<void> => {
    while (performance.now() < endsAt) {
      const status = await ask(target, kind);
      if (status !== kind.status) throw new Error(`${kind.path} answered ${status}`);
      answers += 1;
    }
  };
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

function ask(target: Target, { path, body }: Kind): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const length = body === null ? {} : { "content-length": Buffer.byteLength(body) };
  const headers = { "content-type": "application/json", ...length, ...target.headers };
  const outgoing = request(`${target.url}${path}`, {
    method: body === null ? "GET" : "POST",
    agent,
    headers,
  });
  outgoing.on("error", reject);
  outgoing.on("response", (response) => {
    response.on("error", reject);
    response.on("end", () => resolve(response.statusCode ?? 0));
    response.resume();
  });
  outgoing.end(body ?? undefined);
  return promise;
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
