import { EngineError, type LocalModel } from "../../engine.ts";
import { reasonOf } from "../../reason.ts";
import { deferred } from "../deferred.ts";
import { type Endpoint, statusOf, UNREACHABLE } from "./endpoint.ts";
import { lmStudio } from "./lm-studio.ts";
import { ollama } from "./ollama.ts";
import { ownContext } from "./own-context.ts";
import type { ServerDialect } from "./server-dialect.ts";
import { hangs, wrongKey } from "./server-errors.ts";
import type { HeldServer, ServerHost } from "./server-host.ts";
import { type ServerStatus, untilLost, WATCH_TIMES, type WatchTimes } from "./server-watch.ts";
import { waitUntil } from "./wait-until.ts";

/**
 * A server that runs anyway. Ollama and LM Studio are told which model to hold, and let go of every other one; what other
 * servers hold is their owner's business, so from them one model is served and no other.
 */
export interface AttachedHostOptions {
  readonly endpoint: Endpoint;
  readonly log: (line: string) => void;
  readonly times?: Partial<AttachedTimes>;
}

export interface AttachedTimes extends WatchTimes {
  /** How long a server that was there is waited for: its clients could be served elsewhere. */
  readonly returnLimitMs: number;
  /** How often it is looked for after that. */
  readonly returnWatchMs: number;
}

const RETRY_MS = 1000;
const TIMES: AttachedTimes = { ...WATCH_TIMES, returnLimitMs: 30_000, returnWatchMs: 5000 };

export function createAttachedHost({ endpoint, log, times: given }: AttachedHostOptions): ServerHost {
  const times = { ...TIMES, ...given };
  /** All servers have a list of models. */
  const look = (signal: AbortSignal | null): Promise<ServerStatus> =>
    statusOf(endpoint, "/models", times.answerLimitMs, signal);
  let wasThere = false;
  /** Resolves when the server that is missed answers again; null while none is missed. */
  let comeback: Promise<void> | null = null;
  let hasDialect = false;
  /** The one that a server without such words of its own was asked for first. */
  let onlyModel: string | null = null;

  /** It may be started after this program. @throws EngineError if it has gone or wants another key, or the signal's reason */
  async function waitForServer(signal: AbortSignal): Promise<void> {
    const limitMs = comeback === null ? times.returnLimitMs : 0;
    const until = wasThere ? performance.now() + limitMs : Infinity;
    let isFirst = true;
    const isThere = async (): Promise<boolean> => {
      const status = await look(signal);
      if (status === 401 || status === 403) throw wrongKey();
      if (typeof status === "number") return true;
      if (performance.now() >= until) throw gone("load_failed", { over: awaitComeback() });
      if (isFirst) log(`the model server does not answer at ${endpoint.baseUrl}; waiting for it`);
      isFirst = false;
      return false;
    };
    await waitUntil(isThere, RETRY_MS, signal);
    wasThere = true;
  }

  function awaitComeback(): Promise<void> {
    comeback ??= (async () => {
      while (typeof (await look(null)) !== "number") await pauseLightly(times.returnWatchMs);
      comeback = null;
    })();
    return comeback;
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
        return held(endpoint, dialect, instance, { look: () => look(null), watchMs: times.watchMs });
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
  load: async (endpoint, { name }, signal) => ({
    name,
    contextTokens: await ownContext(endpoint, name, signal),
  }),
  keep: async () => undefined,
  unload: async () => undefined,
};

function held(
  endpoint: Endpoint,
  dialect: ServerDialect,
  instance: { readonly name: string; readonly contextTokens: number | null },
  { look, watchMs }: { readonly look: () => Promise<ServerStatus>; readonly watchMs: number },
): HeldServer {
  const death = deferred<EngineError>();
  const released = new AbortController();
  let unloading: Promise<void> | null = null;
  const end = (error: EngineError): void => {
    if (!released.signal.aborted) death.resolve(error);
  };
  return {
    endpoint,
    modelName: instance.name,
    contextTokens: instance.contextTokens,
    died: death.promise,
    watch(isIdle) {
      // A request would find out, but an idle machine has none. It ends, by throwing, when the server is let go.
      untilLost(look, isIdle, watchMs, released.signal)
        .then((how) => end(how === "gone" ? gone("engine_crashed") : hangs()))
        .catch(() => undefined);
    },
    onIdle() {
      // A server that does not hear this is looked after when a request fails.
      dialect.keep(endpoint, instance.name, released.signal).catch(() => undefined);
    },
    async onUnreachable() {
      if (typeof (await look()) !== "number") end(gone("engine_crashed"));
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

function gone(code: "load_failed" | "engine_crashed", options?: { over: Promise<void> }): EngineError {
  return new EngineError("fault", code, "the model server has gone", options);
}

/** Keeps no program running that has nothing else to do. */
function pauseLightly(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
