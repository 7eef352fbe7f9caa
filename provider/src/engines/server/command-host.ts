import { createServer } from "node:net";

import { AUTO_CONTEXT, EngineError, type LoadOptions, type LocalModel } from "../../engine.ts";
import { deferred } from "../deferred.ts";
import { type Endpoint, rootOf, statusOf } from "./endpoint.ts";
import { ownContext } from "./own-context.ts";
import { hangs } from "./server-errors.ts";
import type { HeldServer, ServerHost } from "./server-host.ts";
import { type ServerProcess, startServerProcess } from "./server-process.ts";
import { type ServerStatus, untilLost, WATCH_TIMES, type WatchTimes } from "./server-watch.ts";
import { waitUntil } from "./wait-until.ts";

/**
 * A server that is started for a model and ended to unload it: what it holds is then certainly what this machine holds, and
 * its memory certainly comes back.
 */
export interface CommandHostOptions {
  /** For the shell. Finds MODEL, PORT, SLOTS and CONTEXT in its environment. */
  readonly command: string;
  /** Lines about a server that does not start, for its owner. */
  readonly log: (line: string) => void;
  /** How long it may take to end before it is ended by force. */
  readonly endLimitMs?: number;
  readonly times?: WatchTimes;
}

const DEFAULT_END_LIMIT_MS = 10_000;
const HEALTH_INTERVAL_MS = 200;
/** One that takes a connection before it can serve may forget it. */
const HEALTH_LIMIT_MS = 5000;

export function createCommandHost({
  command,
  log,
  endLimitMs = DEFAULT_END_LIMIT_MS,
  times = WATCH_TIMES,
}: CommandHostOptions): ServerHost {
  return {
    async hold(model, options) {
      const port = await freePort();
      const server = startServerProcess(command, environmentOf(model, options, port));
      const endpoint: Endpoint = { baseUrl: `http://127.0.0.1:${port}/v1`, apiKey: null };
      let contextTokens: number | null;
      try {
        await waitUntilReady(endpoint, server, options.signal);
        contextTokens = await contextOf(endpoint, model, command, options);
      } catch (error) {
        await server.end(endLimitMs);
        // Not for the coordinator: they name files of this machine.
        if (isFault(error)) for (const line of server.lastWords()) log(`model server: ${line}`);
        throw error;
      }
      server.forget();
      return held(endpoint, model, server, { contextTokens, endLimitMs, ...times });
    },
  };
}

/** And not given up because another model is wanted. */
function isFault(error: unknown): boolean {
  return error instanceof EngineError && error.class === "fault";
}

function environmentOf(
  model: LocalModel,
  { slots, contextTokens }: LoadOptions,
  port: number,
): Record<string, string> {
  return {
    MODEL: model.path,
    PORT: String(port),
    SLOTS: String(slots),
    CONTEXT: String(contextTokens ?? AUTO_CONTEXT.least),
  };
}

/** By the server's own word, else what its command was given if it has taken it. */
async function contextOf(
  endpoint: Endpoint,
  { path }: LocalModel,
  command: string,
  { contextTokens, signal }: LoadOptions,
): Promise<number | null> {
  const given = command.includes("CONTEXT") ? (contextTokens ?? AUTO_CONTEXT.least) : null;
  return (await ownContext(endpoint, path, signal)) ?? given;
}

const NEVER = new Promise<never>(() => undefined);

function held(
  endpoint: Endpoint,
  model: LocalModel,
  server: ServerProcess,
  {
    contextTokens,
    endLimitMs,
    watchMs,
    answerLimitMs,
  }: WatchTimes & { readonly contextTokens: number | null; readonly endLimitMs: number },
): HeldServer {
  /** Aborted when it is let go or has ended. */
  const over = new AbortController();
  const hanging = deferred<EngineError>();
  let isReleased = false;
  const ended = server.gone.then(async (how) => {
    over.abort();
    if (isReleased) return NEVER;
    // What the shell has started may have outlived it.
    await server.end(endLimitMs);
    return new EngineError("fault", "engine_crashed", `the model server has ended: ${how}`);
  });
  return {
    endpoint,
    modelName: model.path,
    contextTokens,
    died: Promise.race([ended, hanging.promise]),
    watch(isIdle) {
      // The port of a process that is still there may be closed; whichever it is, only a new one helps.
      const look = async (): Promise<ServerStatus> => {
        const status = await statusOf(endpoint, "/models", answerLimitMs, null);
        return status === "gone" ? "silent" : status;
      };
      untilLost(look, isIdle, watchMs, over.signal)
        .then(() => hanging.resolve(hangs()))
        .catch(() => undefined);
    },
    onIdle: () => undefined,
    // If it has ended, that is known anyway.
    onUnreachable: async () => undefined,
    async release() {
      isReleased = true;
      over.abort();
      await server.end(endLimitMs);
    },
  };
}

/** @throws EngineError `load_failed` if it ends before, or the signal's reason. */
async function waitUntilReady(endpoint: Endpoint, server: ServerProcess, signal: AbortSignal): Promise<void> {
  const ended = new AbortController();
  void server.gone.then((how) => {
    const message = `the model server has ended before it was ready: ${how}; this machine's log has its last words`;
    return ended.abort(new EngineError("fault", "load_failed", message));
  });
  const stop = AbortSignal.any([signal, ended.signal]);
  await waitUntil(() => isReady(endpoint, stop), HEALTH_INTERVAL_MS, stop);
}

/** llama-server and vLLM have `/health`; others answer the list of models once they can serve. */
async function isReady(endpoint: Endpoint, signal: AbortSignal): Promise<boolean> {
  const health = await statusOf(rootOf(endpoint), "/health", HEALTH_LIMIT_MS, signal);
  if (health !== 404) return health === 200;
  return (await statusOf(endpoint, "/models", HEALTH_LIMIT_MS, signal)) === 200;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
