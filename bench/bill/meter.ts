import { z } from "zod";

/**
 * Counts what Cloudflare would put on a bill: what a local workerd does is the same, only nobody charges for it. The
 * module stands in front of the bundle and wraps each object and each namespace of KV.
 */

/** The path under which the counts are read. */
const METER_PATH = "/meter";

export const METERED_MAIN = `
import worker, { Fleet as PlainFleet, KeyLimits as PlainKeyLimits, ModelPool as PlainPool } from "./worker.js";

const counts = {};
function count(name, amount = 1) {
  counts[name] = (counts[name] ?? 0) + amount;
}

const cursors = [];
const owners = new WeakMap();
let isPatched = false;
function patch(storage) {
  if (isPatched) return;
  isPatched = true;
  const sql = Object.getPrototypeOf(storage.sql);
  const { exec } = sql;
  sql.exec = function (...asked) {
    const cursor = exec.apply(this, asked);
    const table = /speeds|machine_work/.test(asked[0]) ? ".machines" : "";
    cursors.push([owners.get(this) + table, cursor]);
    return cursor;
  };
  const methods = Object.getPrototypeOf(storage);
  const { setAlarm } = methods;
  methods.setAlarm = function (...asked) {
    count(owners.get(this) + ".rowsWritten");
    return setAlarm.apply(this, asked);
  };
}
/** How much a statement has read is known only when all of it was read. */
function countRows() {
  for (const [owner, cursor] of cursors.splice(0)) {
    count(owner + ".rowsRead", cursor.rowsRead);
    count(owner + ".rowsWritten", cursor.rowsWritten);
  }
}

const KV_READS = ["get", "getWithMetadata"];
function meteredNamespace(kv) {
  return new Proxy(kv, {
    get(target, name) {
      const method = target[name];
      if (typeof method !== "function") return method;
      return (keys, ...rest) => {
        if (KV_READS.includes(name)) count("kv.reads", Array.isArray(keys) ? keys.length : 1);
        else count("kv." + name);
        return method.call(target, keys, ...rest);
      };
    },
  });
}
const known = new WeakMap();
function meteredEnv(env) {
  let metered = known.get(env);
  if (metered === undefined) {
    metered = { ...env, KEYS: meteredNamespace(env.KEYS), FLAGS: meteredNamespace(env.FLAGS) };
    known.set(env, metered);
  }
  return metered;
}

function meteredObject(Base, name) {
  class Metered extends Base {
    constructor(context, env) {
      patch(context.storage);
      owners.set(context.storage, name);
      owners.set(context.storage.sql, name);
      super(context, meteredEnv(env));
      count(name + ".lives");
    }
  }
  for (const method of Object.getOwnPropertyNames(Base.prototype)) {
    if (method === "constructor") continue;
    const own = Base.prototype[method];
    Metered.prototype[method] = function (...asked) {
      if (method === "webSocketMessage") count(name + ".messages");
      else if (!method.startsWith("webSocket")) count(name + ".requests");
      if (method === "alarm") count(name + ".alarms");
      return own.apply(this, asked);
    };
  }
  return Metered;
}
export const Fleet = meteredObject(PlainFleet, "fleet");
export const KeyLimits = meteredObject(PlainKeyLimits, "keyLimits");
export const ModelPool = meteredObject(PlainPool, "pool");

export default {
  fetch(request, env, context) {
    if (new URL(request.url).pathname === "${METER_PATH}") {
      countRows();
      return Response.json(counts);
    }
    count("worker.requests");
    return worker.fetch(request, meteredEnv(env), context);
  },
};
`;

const countsSchema = z.record(z.string(), z.number());

export type Counts = Readonly<Record<string, number>>;

/** All that was counted since the start. */
export async function readMeter(url: string): Promise<Counts> {
  return countsSchema.parse(await (await fetch(`${url}${METER_PATH}`)).json());
}

/** What was counted between two readings. */
export function countedBetween(before: Counts, after: Counts): (name: string) => number {
  return (name) => (after[name] ?? 0) - (before[name] ?? 0);
}
