import { EngineError, type LocalModel } from "../../engine.ts";
import { reasonOf } from "../../reason.ts";
import { deferred } from "../deferred.ts";
import { type Endpoint, statusOf, UNREACHABLE } from "./endpoint.ts";
import { lmStudio } from "./lm-studio.ts";
import { ollama } from "./ollama.ts";
import type { ServerDialect } from "./server-dialect.ts";
import { wrongKey } from "./server-errors.ts";
import type { HeldServer, ServerHost } from "./server-host.ts";
import { waitUntil } from "./wait-until.ts";

/**
 * A server that runs anyway. Ollama and LM Studio are told which model to hold, and let go of every other one; what other
 * servers hold is their owner's business, so from them one model is served and no other.
 */
export interface AttachedHostOptions {
  readonly endpoint: Endpoint;
  readonly log: (line: string) => void;
  /** How often it is looked whether the server is still there. */
  readonly watchMs?: number;
  /** How long a server that was there is waited for: its clients could be served elsewhere. */
  readonly returnLimitMs?: number;
}

const RETRY_MS = 1000;
/** A server that does not answer within this time when it is looked for is not there. */
const ALIVE_LIMIT_MS = 5000;
const DEFAULT_WATCH_MS = 15_000;
const DEFAULT_RETURN_LIMIT_MS = 30_000;

export function createAttachedHost({
  endpoint,
  log,
  watchMs = DEFAULT_WATCH_MS,
  returnLimitMs = DEFAULT_RETURN_LIMIT_MS,
}: AttachedHostOptions): ServerHost {
  let wasThere = false;
  let hasDialect = false;
  /** The one that a server without such words of its own was asked for first. */
  let onlyModel: string | null = null;

  /** It may be started after this program. @throws EngineError if it has gone or wants another key, or the signal's reason */
  async function waitForServer(signal: AbortSignal): Promise<void> {
    const until = wasThere ? performance.now() + returnLimitMs : Infinity;
    let isFirst = true;
    const isThere = async (): Promise<boolean> => {
      const status = await modelsStatus(endpoint, signal);
      if (status === 401 || status === 403) throw wrongKey();
      if (typeof status === "number") return true;
      if (performance.now() >= until) throw gone("load_failed");
      if (isFirst) log(`the model server does not answer at ${endpoint.baseUrl}; waiting for it`);
      isFirst = false;
      return false;
    };
    await waitUntil(isThere, RETRY_MS, signal);
    wasThere = true;
  }

  async function dialectOf(model: LocalModel, signal: AbortSignal): Promise<ServerDialect> {
    for (const dialect of [ollama, lmStudio]) {
      if (!(await dialect.isSpokenBy(endpoint, signal))) continue;
      hasDialect = true;
      return dialect;
    }
    // It has trouble. Asked as one that cannot be told to, it would hold two models.
    if (hasDialect)
      throw new EngineError("fault", "load_failed", "the model server does not say what it holds");
    onlyModel ??= model.path;
    if (onlyModel === model.path) return PLAIN;
    throw new EngineError(
      "fault",
      "load_failed",
      "this model server cannot be told to change its model: offer one --model, or have it started by --server-command",
    );
  }

  /** A server that was told to load may go on with it, and keep for good what nobody wants any more. */
  async function undo(dialect: ServerDialect, name: string): Promise<void> {
    try {
      await dialect.unload(endpoint, name);
    } catch (error) {
      log(`the model server may still hold ${name}: ${reasonOf(error)}`);
    }
  }

  return {
    async hold(model, { contextTokens, signal }) {
      await waitForServer(signal);
      const dialect = await dialectOf(model, signal);
      try {
        const instance = await dialect.load(endpoint, { name: model.path, contextTokens }, signal);
        return held(endpoint, dialect, instance, watchMs);
      } catch (error) {
        if (signal.aborted) await undo(dialect, model.path);
        throw error;
      }
    },
  };
}

/** A server that does nothing but serve. */
const PLAIN: ServerDialect = {
  isSpokenBy: async () => true,
  load: async (_, { name }) => ({ name, contextTokens: null }),
  keep: async () => undefined,
  unload: async () => undefined,
};

function held(
  endpoint: Endpoint,
  dialect: ServerDialect,
  instance: { readonly name: string; readonly contextTokens: number | null },
  watchMs: number,
): HeldServer {
  const death = deferred<EngineError>();
  const released = new AbortController();
  let unloading: Promise<void> | null = null;
  const endIf = (isOver: boolean): boolean => {
    if (isOver && !released.signal.aborted) death.resolve(gone("engine_crashed"));
    return isOver;
  };
  // A request would find out, but an idle machine has none. One that is silent may be at work on a long prompt. It ends, by
  // throwing, when the server is let go.
  waitUntil(
    async () => endIf((await modelsStatus(endpoint, null)) === "gone"),
    watchMs,
    released.signal,
  ).catch(() => undefined);
  return {
    endpoint,
    modelName: instance.name,
    contextTokens: instance.contextTokens,
    died: death.promise,
    onIdle() {
      // A server that does not hear this is looked after when a request fails.
      dialect.keep(endpoint, instance.name, released.signal).catch(() => undefined);
    },
    async onUnreachable() {
      endIf(typeof (await modelsStatus(endpoint, null)) !== "number");
    },
    release() {
      released.abort();
      unloading ??= unloaded(endpoint, dialect, instance.name);
      return unloading;
    },
  };
}

/** A server that is not there holds nothing; one that hangs may. */
async function unloaded(endpoint: Endpoint, dialect: ServerDialect, name: string): Promise<void> {
  try {
    await dialect.unload(endpoint, name);
  } catch (error) {
    if (!(error instanceof EngineError) || error.code !== UNREACHABLE) throw error;
  }
}

/** All servers have a list of models. */
function modelsStatus(endpoint: Endpoint, signal: AbortSignal | null): ReturnType<typeof statusOf> {
  return statusOf(endpoint, "/models", ALIVE_LIMIT_MS, signal);
}

function gone(code: "load_failed" | "engine_crashed"): EngineError {
  return new EngineError("fault", code, "the model server has gone");
}
