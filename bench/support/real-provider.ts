import { generateKeyPairSync } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { machineIdSchema, modelIdSchema } from "../../protocol/ids.ts";
import { PING } from "../../protocol/limits.ts";
import { M3_ULTRA } from "../../protocol/sample-hardware.ts";
import { Agent } from "../../provider/src/agent.ts";
import type { Clock, Dial } from "../../provider/src/agent/ports.ts";
import { createDial } from "../../provider/src/connection.ts";
import { createEchoEngine } from "../../provider/src/engines/echo.ts";
import { createAnswerEncoder } from "../../provider/src/openai/answer-encoder.ts";
import { MODEL, type Coordinator } from "./coordinator.ts";
import { TOKEN_MARK_TEXT } from "./work.ts";

/** The provider's own agent, with the engine that repeats what it is told, and a count of what it sends. */
export interface RealProvider {
  /** Messages of any kind but life signs, since the start. */
  sent(): number;
  abort(): void;
}

const START_LIMIT_MS = 10_000;

const clock: Clock = {
  now: () => Date.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};

/** A prompt that the echo engine answers with `tokens` tokens that clients of the bench can count. */
export function promptOf(tokens: number): string {
  return Array.from({ length: tokens }, () => `${TOKEN_MARK_TEXT}word`).join(" ");
}

/** Starts it and waits until it may be sent work. */
export async function startRealProvider(
  { target, providerToken }: Coordinator,
  slots: number,
  tokensPerSecond: number,
): Promise<RealProvider> {
  let sent = 0;
  const dial = createDial({
    coordinator: new URL(target.url),
    token: providerToken,
    machineId: machineIdSchema.parse("mac-real"),
    userAgent: "bench",
  });
  const countingDial: Dial = (pool, listener) => {
    const socket = dial(pool, listener);
    return {
      ...socket,
      sendText: (text) => {
        if (text !== PING) sent += 1;
        socket.sendText(text);
      },
      sendBytes: (bytes) => {
        sent += 1;
        socket.sendBytes(bytes);
      },
    };
  };
  const { publicKey } = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "der" },
    privateKeyEncoding: { type: "pkcs8", format: "der" },
  });
  const agent = new Agent(
    {
      version: "0.0.0",
      machineId: machineIdSchema.parse("mac-real"),
      sessionId: "bench",
      publicKey: publicKey.toString("base64"),
      hardware: M3_ULTRA,
      models: [{ id: modelIdSchema.parse(MODEL), path: "/none", sizeBytes: 1_000_000 }],
      firstModel: modelIdSchema.parse(MODEL),
      slots,
      contextTokens: 4096,
      privateOnly: false,
      assignment: null,
    },
    {
      clock,
      random: Math.random,
      dial: countingDial,
      engine: createEchoEngine({ tokensPerSecond }),
      createAnswerEncoder,
      vitals: () => ({ memoryFreeGb: 64, memoryPressure: 0.1, thermalState: "nominal" }),
      attester: null,
      saveAssignment: () => {},
      log: { info: () => {}, warn: () => {}, error: () => {} },
    },
  );
  agent.start();
  const until = Date.now() + START_LIMIT_MS;
  while (agent.status().state !== "serving" || agent.status().pools === 0) {
    if (Date.now() > until) throw new Error(`the provider is ${agent.status().state}`);
    await sleep(20);
  }
  // By then it has sent all that belongs to its start.
  await sleep(1000);
  return { sent: () => sent, abort: () => agent.abort() };
}
