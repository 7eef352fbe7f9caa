import { epochSchema, type Epoch } from "../../../../protocol/ids.ts";
import { PoolScene, type Machine } from "./pool-scene.ts";

/** A machine that the fleet has ordered to the pool, and what it says of its switch. */

export const TERMS = { drainMs: 30_000, loadMs: 180_000, publicKey: "k" };

export const epoch = (n: number): Epoch => epochSchema.parse(n);

/** A machine that is here and has been ordered to this pool at epoch 5. */
export function expected(fields: object = {}): { scene: PoolScene; mac: Machine } {
  const scene = new PoolScene();
  const mac = scene.join("mac-1", { loaded_models: [], ...fields });
  scene.pool.orders.expect(mac.connection.identity.machineId, epoch(5), TERMS, scene.now);
  return { scene, mac };
}

export const say = (scene: PoolScene, mac: Machine, word: string, fields: object = {}) =>
  scene.say(mac, { type: "assign_model_status", model_id: "m", epoch: 5, status: word, ...fields });

export const modeOf = (scene: PoolScene) => scene.records.get("mac-1")?.mode;
