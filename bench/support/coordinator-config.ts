import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { ROOT } from "../../scripts/root.ts";

/**
 * The product in a configuration of plain workerd, without the worker that wrangler and miniflare put in front of
 * it. Date and flags are those of `wrangler.toml`.
 */

/** Printed on standard output by each life of a pool: so a hibernation that has ended can be seen from outside. */
export const POOL_WAKES = "a pool wakes";

/** The module in front of the bundle. What it adds runs once per life of a pool and never for a request. */
const MAIN = `
import worker, { Fleet, KeyLimits, ModelPool as Pool } from "./worker.js";
export { Fleet, KeyLimits };
export default worker;
export class ModelPool extends Pool {
  constructor(context, env) {
    super(context, env);
    console.log(${JSON.stringify(POOL_WAKES)});
  }
}
`;

/** Workers KV: the few calls the product makes, in memory, in the protocol that workerd speaks to a namespace. */
const KV = `
const values = new Map();
const METADATA = "CF-KV-Metadata";
export default {
  async fetch(request) {
    const key = decodeURIComponent(new URL(request.url).pathname.slice(1));
    if (request.method === "POST") return bulk(await request.json());
    if (request.method === "PUT") values.set(key, await entryOf(request));
    else if (request.method === "DELETE") values.delete(key);
    else return answer(values.get(key));
    return new Response();
  },
};
async function entryOf(request) {
  const metadata = request.headers.get(METADATA);
  return { value: await request.text(), metadata: metadata === null ? null : JSON.parse(metadata) };
}
function bulk({ keys, withMetadata }) {
  const found = keys.map((key) => {
    const entry = values.get(key) ?? null;
    return [key, withMetadata || entry === null ? entry : entry.value];
  });
  return Response.json(Object.fromEntries(found));
}
function answer(entry) {
  if (entry === undefined) return new Response(null, { status: 404 });
  return new Response(entry.value, { headers: entry.metadata === null ? {} : { [METADATA]: JSON.stringify(entry.metadata) } });
}
`;

/** As `wrangler.toml` has them, in the words of a configuration. */
export function platform(): { readonly date: string; readonly flags: string } {
  const toml = readFileSync(join(ROOT, "wrangler.toml"), "utf8");
  return {
    date: /^compatibility_date = (".*")$/m.exec(toml)?.[1] ?? "",
    flags: /^compatibility_flags = (\[.*\])$/m.exec(toml)?.[1] ?? "",
  };
}

/**
 * Writes the configuration beside the bundle `worker.js` in `folder`.
 * @param main the module in front of the bundle.
 * @returns its path.
 */
export function writeConfig(
  folder: string,
  port: number,
  storage: string,
  adminToken: string,
  main: string = MAIN,
): string {
  const { date, flags } = platform();
  const path = join(folder, "config.capnp");
  writeFileSync(join(folder, "main.js"), main);
  writeFileSync(join(folder, "kv.js"), KV);
  writeFileSync(
    path,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "kv", worker = .kv),
    (name = "disk", disk = (path = "${storage}", writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [
    (name = "main.js", esModule = embed "main.js"),
    (name = "worker.js", esModule = embed "worker.js"),
  ],
  compatibilityDate = ${date},
  compatibilityFlags = ${flags},
  bindings = [
    (name = "MODEL_POOL", durableObjectNamespace = "ModelPool"),
    (name = "FLEET", durableObjectNamespace = "Fleet"),
    (name = "KEY_LIMITS", durableObjectNamespace = "KeyLimits"),
    (name = "FLAGS", kvNamespace = "kv"),
    (name = "KEYS", kvNamespace = "kv"),
    (name = "ADMIN_TOKEN", text = "${adminToken}"),
  ],
  durableObjectNamespaces = [
    (className = "ModelPool", uniqueKey = "ModelPool", enableSql = true),
    (className = "Fleet", uniqueKey = "Fleet", enableSql = true),
    (className = "KeyLimits", uniqueKey = "KeyLimits", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "disk"),
);
const kv :Workerd.Worker = (
  modules = [(name = "kv.js", esModule = embed "kv.js")],
  compatibilityDate = ${date},
);
`,
  );
  return path;
}
