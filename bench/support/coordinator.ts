import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { AdminClient } from "../../scripts/admin-client.ts";
import { bundleWorker } from "../../scripts/bundle.ts";
import { ROOT } from "../../scripts/root.ts";
import { MockProvider } from "./mock-provider.ts";
import { freePort, startServer, temporaryFolder, type Server } from "./processes.ts";
import { workName, type Work } from "./work.ts";

/** The whole product in one raw workerd, without miniflare's own worker in front of it. */
export interface Coordinator extends Server {
  readonly apiKey: string;
  readonly storage: string;
  connect(machines: number, slots: number): Promise<MockProvider[]>;
}

/** The one model. What is to be generated is in the alias a client asks for. */
const MODEL = "bench";

/** After this long no more machines dial; the row then reports fewer than it wanted. */
const DIAL_LIMIT_MS = 110_000;

/** Workers KV for the bench: the few calls the product makes, in memory, in the protocol that workerd speaks. */
const KV_WORKER = `
const values = new Map();
export default {
  async fetch(request) {
    const url = new URL(request.url);
    const key = decodeURIComponent(url.pathname.slice(1));
    if (request.method === "PUT") values.set(key, await request.text());
    else if (request.method === "DELETE") values.delete(key);
    else return values.has(key) ? new Response(values.get(key)) : new Response(null, { status: 404 });
    return new Response();
  },
};
`;

/** Starts a fresh coordinator whose catalog offers each of `works` by its name. */
export async function startCoordinator(works: readonly Work[]): Promise<Coordinator> {
  const folder = temporaryFolder();
  const storage = join(folder, "storage");
  mkdirSync(storage);
  await bundleWorker(folder, true);
  writeFileSync(join(folder, "kv.js"), KV_WORKER);
  const port = await freePort();
  const adminToken = randomBytes(16).toString("hex");
  writeFileSync(join(folder, "config.capnp"), configOf(port, storage, adminToken));
  const workerd = join(ROOT, "node_modules/workerd/bin/workerd");
  const server = await startServer([workerd, "serve", join(folder, "config.capnp")], port, "/health");
  const admin = new AdminClient(server.url, adminToken);
  await admin.addToCatalog([
    {
      id: MODEL,
      aliases: works.map(workName),
      context_length: 4096,
      size_gb: 1,
      min_ram_gb: 2,
      max_concurrency: 1024,
    },
  ]);
  const apiKey = await admin.createKey("bench", "bench");
  const token = await admin.createProviderToken("bench", "bench");
  let named = 0;
  const connect = async (machines: number, slots: number): Promise<MockProvider[]> => {
    const providers: MockProvider[] = [];
    // A few dials at a time, as after a restart with jitter.
    const until = Date.now() + DIAL_LIMIT_MS;
    while (providers.length < machines && Date.now() < until) {
      const batch = Array.from({ length: Math.min(64, machines - providers.length) }, () => {
        return new MockProvider(server.url, token, MODEL, `mac-${++named}`, slots);
      });
      await Promise.all(batch.map((provider) => provider.registered));
      providers.push(...batch);
    }
    return providers;
  };
  return { ...server, apiKey, storage, connect };
}

function configOf(port: number, storage: string, adminToken: string): string {
  const toml = readFileSync(join(ROOT, "wrangler.toml"), "utf8");
  const date = /^compatibility_date = (".*")$/m.exec(toml)?.[1] ?? "";
  const flags = /^compatibility_flags = (\[.*\])$/m.exec(toml)?.[1] ?? "";
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "kv", worker = .kv),
    (name = "disk", disk = (path = "${storage}", writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = ${date},
  compatibilityFlags = ${flags},
  bindings = [
    (name = "MODEL_POOL", durableObjectNamespace = "ModelPool"),
    (name = "FLEET", durableObjectNamespace = "Fleet"),
    (name = "FLAGS", kvNamespace = "kv"),
    (name = "KEYS", kvNamespace = "kv"),
    (name = "ADMIN_TOKEN", text = "${adminToken}"),
  ],
  durableObjectNamespaces = [
    (className = "ModelPool", uniqueKey = "ModelPool", enableSql = true),
    (className = "Fleet", uniqueKey = "Fleet", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "disk"),
);
const kv :Workerd.Worker = (
  modules = [(name = "kv.js", esModule = embed "kv.js")],
  compatibilityDate = ${date},
);
`;
}
