import { DurableObject } from "cloudflare:workers";

import type { ApiError } from "../core/api-error.ts";
import { parseCatalog, poolsFor } from "../core/catalog.ts";
import { DialRate } from "../core/dial-rate.ts";
import { FLEET_TICK_MS } from "../core/limits.ts";
import type { Admission, AdmissionQuestion } from "../core/pool/pool.ts";
import { type MachineId } from "../protocol/ids.ts";
import { LIVENESS_TIMEOUT_MS } from "../protocol/limits.ts";
import { CatalogStore } from "./catalog-store.ts";
import type { Dial } from "./dial.ts";
import type { Env } from "./env.ts";
import { logWarning } from "./log.ts";
import { FleetStore } from "./storage/fleet-store.ts";

/** Where a dialing machine belongs, or why it may not dial. */
export type DialVerdict =
  | { readonly ok: true; readonly pool: string }
  | { readonly ok: false; readonly error: ApiError };

/** How long a revocation is repeated to the pools, in case one did not hear it the first time. */
const REVOCATION_REPEAT_MS = 600_000;

/**
 * The control plane: one object that knows every machine, to whom it belongs and which pools may hold a socket of
 * it. Dials and registers pass through it; requests never do, so pools go on serving when it is down.
 */
export class Fleet extends DurableObject<Env> {
  readonly #store: FleetStore;
  readonly #catalog = new CatalogStore();
  readonly #dials = new DialRate();

  constructor(context: DurableObjectState, env: Env) {
    super(context, env);
    this.#store = new FleetStore(context.storage);
  }

  /**
   * Decides one dial. The membership is written before the answer, so that no socket exists that the fleet does
   * not know of (H1).
   * @param pool the catalog id the provider named; null for wherever it belongs.
   */
  async dial(dial: Dial, pool: string | null): Promise<DialVerdict> {
    const now = Date.now();
    const refusal = this.#mayNotDial(dial);
    if (refusal !== null) return { ok: false, error: refusal };
    const target = pool ?? (await this.#firstPool(dial.machineId, now));
    if (target === null) {
      const message = `machine "${dial.machineId}" has not registered before; name a model with ?pool=`;
      return { ok: false, error: { code: "model_not_found", message, param: "pool" } };
    }
    const retryAfterS = this.#dials.admit(`${dial.machineId} ${target}`, now);
    if (retryAfterS !== null) {
      return {
        ok: false,
        error: { code: "slow_down", message: "too many dials within a minute", retryAfterS },
      };
    }
    this.#store.addMembership(dial.machineId, target, now);
    await this.ensureAlarm();
    return { ok: true, pool: target };
  }

  /** Decides one register and remembers what the machine said. Binds the machine to its first owner and key (H22). */
  async register({ identity, register }: AdmissionQuestion): Promise<Admission> {
    const now = Date.now();
    const catalog = await this.#catalog.read(this.env.FLAGS, now);
    // No await from here on: of two first registers under one name exactly one wins.
    if (this.#mayNotDial(identity) !== null) return { admitted: false, close: "notAllowed" };
    const known = this.#store.machine(identity.machineId);
    const isForeign = known !== null && known.publicKey !== register.public_key;
    if (isForeign) return { admitted: false, close: "foreignKey" };
    const models = register.models.map((model) => model.id);
    // Without a catalog nobody is sent away from where it is.
    const pools = catalog === null ? (known?.pools ?? []) : poolsFor(catalog, models);
    this.#store.saveRegister(register, identity.owner, pools, now);
    return { admitted: true, pools };
  }

  /** Forbids a provider token and closes every socket that was dialed with it, with 4005. */
  async revokeToken(tokenId: string): Promise<void> {
    this.#store.revokeToken(tokenId, Date.now());
    await this.#eachPool((pool) => pool.revokeToken(tokenId));
  }

  /** The Worker has written a new catalog: machines learn at once which pools they should be in. */
  async catalogChanged(entries: string): Promise<void> {
    const parsed = parseCatalog(JSON.parse(entries));
    if (!parsed.ok) throw new Error(`the Worker sent an invalid catalog: ${parsed.param} ${parsed.message}`);
    this.#catalog.adopt(parsed.catalog, Date.now());
    await this.#announcePools();
  }

  /** Sets the next tick if none is set; called on every dial and by the cron. */
  async ensureAlarm(): Promise<void> {
    if (this.#store.memberships().length === 0) return;
    if ((await this.ctx.storage.getAlarm()) === null) {
      await this.ctx.storage.setAlarm(Date.now() + FLEET_TICK_MS);
    }
  }

  /** The tick: dead sockets are closed, memberships without a socket forgotten (H20). */
  override async alarm(): Promise<void> {
    const now = Date.now();
    const revoked = this.#store.tokensRevokedSince(now - REVOCATION_REPEAT_MS);
    await this.#eachPool(async (pool, name) => {
      for (const tokenId of revoked) await pool.revokeToken(tokenId);
      const here = new Set<string>(await pool.sweep());
      for (const { machineId, pool: memberOf, dialedAt } of this.#store.memberships()) {
        // A dial is answered before its socket reaches the pool, so a young membership may be ahead of it.
        const isOld = now - dialedAt > LIVENESS_TIMEOUT_MS;
        if (memberOf === name && isOld && !here.has(machineId)) this.#store.removeMembership(machineId, name);
      }
    });
    await this.#announcePools();
    await this.ensureAlarm();
  }

  #mayNotDial({ machineId, owner, tokenId }: Dial): ApiError | null {
    const refuse = (message: string): ApiError => ({ code: "machine_not_allowed", message });
    if (this.#store.isRevoked(tokenId)) return refuse("this provider token was revoked; ask for a new one");
    const known = this.#store.machine(machineId);
    if (known !== null && known.owner !== owner) {
      return refuse(`machine id "${machineId}" belongs to another owner; choose another with --machine-id`);
    }
    return null;
  }

  async #firstPool(machineId: MachineId, now: number): Promise<string | null> {
    const catalog = await this.#catalog.read(this.env.FLAGS, now);
    const known = this.#store.machine(machineId);
    if (known === null) return null;
    const pools = catalog === null ? known.pools : poolsFor(catalog, known.models);
    return pools[0] ?? null;
  }

  /** Tells each machine whose list of pools is not what it was last told. */
  async #announcePools(): Promise<void> {
    const catalog = await this.#catalog.read(this.env.FLAGS, Date.now());
    if (catalog === null) return;
    const memberships = this.#store.memberships();
    for (const machine of this.#store.machinesWithMemberships()) {
      const pools = poolsFor(catalog, machine.models);
      if (pools.join() === machine.pools.join()) continue;
      let isTold = true;
      for (const { machineId, pool } of memberships) {
        if (machineId !== machine.machineId) continue;
        isTold = (await this.#tellPool(pool, (stub) => stub.announcePools(machineId, pools))) && isTold;
      }
      // Only now, so that whoever has not heard it is told again at the next tick.
      if (isTold) this.#store.savePools(machine.machineId, pools);
    }
  }

  async #eachPool(call: (pool: PoolStub, name: string) => Promise<void>): Promise<void> {
    const names = new Set(this.#store.memberships().map((membership) => membership.pool));
    for (const name of names) await this.#tellPool(name, (stub) => call(stub, name));
  }

  /**
   * One pool that does not answer must not keep the others from hearing; the next tick tries it again.
   * @returns whether the pool has answered.
   */
  async #tellPool(name: string, call: (pool: PoolStub) => Promise<void>): Promise<boolean> {
    try {
      await call(this.env.MODEL_POOL.getByName(name));
      return true;
    } catch (error) {
      logWarning("pool_unreachable", { pool: name, error: String(error) });
      return false;
    }
  }
}

type PoolStub = ReturnType<Env["MODEL_POOL"]["getByName"]>;
