import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { parse } from "smol-toml";
import { z } from "zod";

import { bundleWorker } from "./bundle.ts";
import { ROOT } from "./root.ts";
import { UserError } from "./user-error.ts";
import { workerLogLine } from "./worker-log.ts";

/** The coordinator on this machine: the real Worker in the real workerd, with KV and SQLite in a folder. */
export interface LocalCoordinator {
  /** For example `http://127.0.0.1:8787`. */
  readonly url: string;
  stop(): Promise<void>;
}

export interface LocalCoordinatorOptions {
  /** 0 for any free one. */
  readonly port: number;
  readonly stateDir: string;
  readonly adminToken: string;
}

/**
 * Bundles and starts the coordinator. Bindings and flags are those of `wrangler.toml`.
 * @throws UserError if the port is taken.
 */
export async function startCoordinator(options: LocalCoordinatorOptions): Promise<LocalCoordinator> {
  const port = options.port === 0 ? await freePort() : options.port;
  await assertPortIsFree(port);
  const config = configSchema.parse(parse(readFileSync(join(ROOT, "wrangler.toml"), "utf8")));
  const scriptPath = await bundleWorker(join(options.stateDir, "bundle"));
  const sqliteClasses = new Set(config.migrations.flatMap((migration) => migration.new_sqlite_classes));
  const listeners = signalListeners();
  const log = new StoppableLog(LogLevel.WARN);
  const miniflare = new Miniflare({
    ...convertV4MiniflareOptions({
      name: config.name,
      modules: true,
      scriptPath,
      modulesRoot: join(options.stateDir, "bundle"),
      compatibilityDate: config.compatibility_date,
      compatibilityFlags: config.compatibility_flags,
      durableObjects: Object.fromEntries(
        config.durable_objects.bindings.map(({ name, class_name }) => [
          name,
          { className: class_name, useSQLite: sqliteClasses.has(class_name) },
        ]),
      ),
      analyticsEngineDatasets: Object.fromEntries(
        config.analytics_engine_datasets.map(({ binding, dataset }) => [binding, { dataset }]),
      ),
      kvNamespaces: config.kv_namespaces.map(({ binding }) => binding),
      bindings: { ADMIN_TOKEN: options.adminToken },
      // Not through Miniflare's own Worker: it would agree to compress the sockets of machines.
      unsafeDirectSockets: [{ host: "127.0.0.1", port }],
      host: "127.0.0.1",
      port: 0,
      cf: false,
      log,
      handleStructuredLogs: (entry) => console.error(workerLogLine(entry)),
    }),
    resourcePersistencePath: join(options.stateDir, "storage"),
  });
  await miniflare.ready;
  leaveSignalsTo(listeners);
  for (const signal of SIGNALS) process.once(signal, () => log.stop());
  return {
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      log.stop();
      await miniflare.dispose();
    },
  };
}

/** Ctrl-C in a terminal reaches workerd as well, and Miniflare would take its end for a crash and say so. */
class StoppableLog extends Log {
  #stopped = false;

  stop(): void {
    this.#stopped = true;
  }

  protected override log(message: string): void {
    if (!this.#stopped) super.log(message);
  }
}

/** What is used of `wrangler.toml`. Wrangler could read it too, but takes a second to be imported. */
const configSchema = z.object({
  name: z.string(),
  compatibility_date: z.string(),
  compatibility_flags: z.array(z.string()),
  durable_objects: z.object({ bindings: z.array(z.object({ name: z.string(), class_name: z.string() })) }),
  analytics_engine_datasets: z.array(z.object({ binding: z.string(), dataset: z.string() })),
  kv_namespaces: z.array(z.object({ binding: z.string() })),
  migrations: z.array(z.object({ new_sqlite_classes: z.array(z.string()).default([]) })),
});

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

function signalListeners(): Set<unknown> {
  return new Set(SIGNALS.flatMap((signal): unknown[] => process.listeners(signal)));
}

/** Takes out the listeners that came since: Miniflare's would end the process before we have stopped in order. */
function leaveSignalsTo(known: ReadonlySet<unknown>): void {
  for (const signal of SIGNALS) {
    for (const listener of process.listeners(signal)) if (!known.has(listener)) process.off(signal, listener);
  }
}

async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        typeof address === "object" && address !== null ? resolve(address.port) : reject(),
      );
    });
  });
}

async function assertPortIsFree(port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "EADDRINUSE" ? "is in use" : `cannot be opened (${error.code})`;
      reject(
        new UserError(
          `Port ${port} ${why}. Choose another with "npm start -- --port N", or 0 for any free one.`,
        ),
      );
    });
    server.listen(port, "127.0.0.1", () => server.close(() => resolve()));
  });
}
