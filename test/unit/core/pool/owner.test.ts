import { describe, expect, it } from "vitest";

import { LONG_BODIES_BYTES_MAX } from "../../../../core/limits.ts";
import { gate, routableGate } from "../../../../core/pool/gate.ts";
import type { OwnerRoute } from "../../../../core/pool/owner-route.ts";
import { epochSchema, modelIdSchema } from "../../../../protocol/ids.ts";
import { aConnection } from "./a-connection.ts";
import { MODEL, PoolScene, type Client, type Machine } from "./pool-scene.ts";

const OTHER = modelIdSchema.parse("other");
const EPOCH = epochSchema.parse(1);
const TERMS = { drainMs: 30_000, loadMs: 180_000, publicKey: "k" };

function route(otherwise: OwnerRoute["otherwise"], ...machines: string[]): OwnerRoute {
  return { otherwise, machines: new Set(machines), isSwitching: false };
}

const status = (word: string) => ({
  type: "assign_model_status",
  model_id: MODEL,
  epoch: EPOCH,
  status: word,
});

/** A machine that holds this pool's model because it was ordered to. */
function joinAssigned(scene: PoolScene, machineId: string, fields: object = {}): Machine {
  const machine = scene.join(machineId, fields);
  scene.pool.orders.expect(machine.connection.identity.machineId, EPOCH, TERMS, scene.now);
  scene.say(machine, status("succeeded"));
  return machine;
}

/** The owner asks for another model than the one the machine is assigned to. */
function visit(scene: PoolScene, otherwise: OwnerRoute["otherwise"] = "wait"): Client {
  return scene.ask({ model: OTHER, owner: route(otherwise, "mac-1") });
}

describe("[H21] a request for its owner's machines", () => {
  it("goes to a private machine, which gets no public one", () => {
    const scene = new PoolScene();
    const machine = scene.join("mac-1", { private_only: true });
    expect(scene.ask().refusedWith).toBe("model_unavailable");
    const client = scene.ask({ owner: route("wait", "mac-1") });
    const sent = scene.requestOf(machine);
    expect(sent.request["owner_bypass"]).toBe(true);
    scene.serve(sent, "hello");
    expect(client.ended).toBe("finished");
  });

  it("goes to the machine that its owner keeps for the moment, and what runs there for others goes on", () => {
    const scene = new PoolScene();
    const machine = scene.join("mac-1");
    const other = scene.ask();
    const running = scene.requestOf(machine);
    scene.heartbeat(machine, { running: 1, reserved: true });
    expect(scene.ask().refusedWith).toBe("model_unavailable");
    scene.ask({ owner: route("wait", "mac-1") });
    expect(scene.requestOf(machine).request["owner_bypass"]).toBe(true);
    scene.serve(running, "to the end");
    expect(other.ended).toBe("finished");
    // Coming back costs nothing.
    scene.heartbeat(machine, { running: 1, reserved: false });
    scene.ask();
    expect(scene.requestsOf(machine)).toHaveLength(1);
  });

  it("goes to no other machine, and not there after a failure either", () => {
    const scene = new PoolScene();
    const own = scene.join("mac-1");
    const foreign = scene.join("mac-2");
    const client = scene.ask({ owner: route("wait", "mac-1") });
    scene.error(scene.requestOf(own), "fault", "engine_failed");
    expect(client.refusedWith).toBe("provider_error");
    expect(scene.requestsOf(foreign)).toEqual([]);
  });

  it("waits for its own busy machine, and hears machine_busy if that lasts", () => {
    const scene = new PoolScene();
    const machine = scene.join("mac-1", { max_concurrency: 1 });
    scene.join("mac-2");
    scene.ask({ owner: route("wait", "mac-1") });
    const second = scene.ask({ owner: route("wait", "mac-1") });
    const third = scene.ask({ owner: route("wait", "mac-1") });
    scene.serve(scene.requestOf(machine), "first");
    scene.accept(scene.requestOf(machine));
    expect(second.ended).toBeNull();
    scene.advance(6_250, machine);
    expect(third.refusedWith).toBe("machine_busy");
  });

  it("hears machine_busy when its own machine has refused it for lack of room for 6 s", () => {
    const scene = new PoolScene();
    const machine = scene.join("mac-1");
    const client = scene.ask({ owner: route("wait", "mac-1") });
    const refuse = () => {
      for (const sent of scene.requestsOf(machine)) scene.error(sent, "capacity", "no_free_slot");
    };
    refuse();
    for (let waitedMs = 0; waitedMs < 6000; waitedMs += 500) {
      expect(client.ended).toBeNull();
      scene.advance(500, machine);
      refuse();
    }
    scene.advance(250);
    expect(client.refusedWith).toBe("machine_busy");
  });

  it("hears machine_busy while the machine is switched, and machine_offline if it is not there or has failed", () => {
    const scene = new PoolScene();
    const machine = scene.join("mac-1");
    scene.pool.orders.expect(machine.connection.identity.machineId, EPOCH, TERMS, scene.now);
    const ask = (): string | null => scene.ask({ owner: route("wait", "mac-1") }).refusedWith;
    expect(ask()).toBe("machine_busy");
    for (const word of ["draining", "loading"]) {
      scene.say(machine, status(word));
      expect(ask()).toBe("machine_busy");
    }
    scene.say(machine, { ...status("failed"), error: { code: "load_failed", message: "no" } });
    expect(ask()).toBe("machine_offline");
    expect(scene.ask({ owner: route("wait", "mac-9") }).refusedWith).toBe("machine_offline");
    const arriving = { ...route("wait", "mac-9"), isSwitching: true };
    expect(scene.ask({ owner: arriving }).refusedWith).toBe("machine_busy");
  });
});

describe("[H21] [F2] an owner's visit to another model", () => {
  it("takes the machine out of public service before the machine hears of it", () => {
    const scene = new PoolScene();
    const machine = joinAssigned(scene, "mac-1");
    visit(scene);
    expect(machine.connection.isOwnerBusy).toBe(true);
    expect(scene.requestOf(machine).request).toMatchObject({ model_id: OTHER, owner_bypass: true });
    expect(scene.ask().refusedWith).toBe("model_unavailable");
    expect(scene.pool.report(scene.now, 4).machines[0]?.blockedBy).toBe("owner_busy");
  });

  it("is no demand for the pool's own model, served or refused", () => {
    const scene = new PoolScene();
    const machine = joinAssigned(scene, "mac-1");
    visit(scene);
    scene.serve(scene.requestOf(machine), "hello");
    scene.flags({ shed_models: [OTHER] });
    expect(visit(scene).refusedWith).toBe("model_shed");
    expect(scene.pool.ledger.demand.totals()).toMatchObject({ arrivals: 0, answered: 0, good: 0 });
    expect(scene.news).not.toContainEqual({ kind: "demand" });
    expect(scene.outcomes()).toEqual({ ok: 1, model_shed: 1 });
  });

  it("ends with the machine's word that it accepts work, not with one from before", () => {
    const scene = new PoolScene();
    const machine = joinAssigned(scene, "mac-1");
    const owners = visit(scene);
    const sent = scene.requestOf(machine);
    const held = { assignment: { model_id: MODEL, epoch: EPOCH } };
    scene.heartbeat(machine, held);
    expect(machine.connection.isOwnerBusy).toBe(true);
    scene.heartbeat(machine, { ...held, accepting: false, loaded_models: [OTHER], running: 1 });
    scene.serve(sent, "hello");
    expect(owners.ended).toBe("finished");
    expect(scene.ask().refusedWith).toBe("model_unavailable");
    scene.heartbeat(machine, held);
    scene.ask();
    expect(scene.requestOf(machine).request["owner_bypass"]).toBe(false);
  });

  it("is joined by requests for the same model, up to the slots, and by no others", () => {
    const scene = new PoolScene();
    const machine = joinAssigned(scene, "mac-1");
    // What runs on the model that is left does not count.
    scene.ask();
    scene.ask();
    expect(scene.requestsOf(machine)).toHaveLength(2);
    visit(scene);
    scene.heartbeat(machine, { accepting: false, loaded_models: [OTHER], running: 2 });
    visit(scene);
    expect(scene.requestsOf(machine)).toHaveLength(2);
    expect(visit(scene).ended).toBeNull();
    expect(scene.requestsOf(machine)).toHaveLength(0);
    const back = scene.ask({ owner: route("wait", "mac-1") });
    expect(back.refusedWith).toBe("machine_busy");
  });

  it("takes no more slots than the catalog allows", () => {
    const scene = new PoolScene();
    const machine = joinAssigned(scene, "mac-1", { max_concurrency: 4 });
    for (let i = 0; i < 3; i++) scene.ask({ model: OTHER, owner: route("wait", "mac-1"), slots: 2 });
    expect(scene.requestsOf(machine)).toHaveLength(2);
  });

  it("is refused if an operator has switched off the model asked for, and not for the one that is left", () => {
    const scene = new PoolScene();
    const machine = joinAssigned(scene, "mac-1");
    scene.flags({ shed_models: [OTHER] });
    expect(visit(scene).refusal).toMatchObject({
      code: "model_shed",
      message: expect.stringContaining('"other"') as string,
    });
    scene.flags({ shed_models: [MODEL] });
    visit(scene);
    expect(scene.requestsOf(machine)).toHaveLength(1);
  });

  it("that the machine refuses leaves it in public service", () => {
    const scene = new PoolScene();
    const machine = joinAssigned(scene, "mac-1");
    const owners = visit(scene, "decline");
    scene.error(scene.requestOf(machine), "capacity", "no_free_slot");
    expect(owners.refusedWith).toBe("machine_busy");
    scene.advance(500, machine);
    scene.ask();
    expect(scene.requestsOf(machine)).toHaveLength(1);
  });

  it("that the machine refuses for what it asks leaves the machine in public service, too", () => {
    const scene = new PoolScene();
    const machine = joinAssigned(scene, "mac-1");
    const owners = visit(scene);
    scene.error(scene.requestOf(machine), "client", "unsupported");
    expect(owners.refusedWith).toBe("unsupported");
    scene.ask();
    expect(scene.requestsOf(machine)).toHaveLength(1);
  });

  it("is not over with a refusal of a machine that has left its model already", () => {
    const scene = new PoolScene();
    const machine = joinAssigned(scene, "mac-1");
    visit(scene);
    const sent = scene.requestOf(machine);
    scene.heartbeat(machine, { accepting: false, loaded_models: [OTHER], running: 1 });
    scene.error(sent, "client", "unsupported");
    expect(machine.connection.isOwnerBusy).toBe(true);
  });

  it("goes on if the machine ends it after all, until it says that it is back", () => {
    const scene = new PoolScene();
    const machine = joinAssigned(scene, "mac-1");
    visit(scene);
    const sent = scene.requestOf(machine);
    scene.accept(sent);
    scene.error(sent, "capacity", "switching_model");
    expect(machine.connection.isOwnerBusy).toBe(true);
  });

  it("is no success of the model that is left, and tells nothing of its speed", () => {
    const scene = new PoolScene();
    const machine = joinAssigned(scene, "mac-1");
    const other = joinAssigned(scene, "mac-2");
    for (let i = 0; i < 3; i++) {
      scene.ask();
      scene.error(scene.requestOf(machine), "fault", "broken");
      scene.serve(scene.requestOf(other), "x");
      machine.connection.lastPickedAt = 0;
      other.connection.lastPickedAt = scene.now;
    }
    expect(scene.pool.report(scene.now, 4).machines[0]?.blockedBy).toBe("breaker_open");
    visit(scene);
    scene.serve(scene.requestOf(machine), "hello", { tokens: 501, ms: 1000 });
    expect(machine.connection.breaker).not.toBeNull();
    expect(scene.pool.report(scene.now, 4).machines[0]?.speed).toBeNull();
  });

  it("is cancelled by an order", () => {
    const scene = new PoolScene();
    const machine = joinAssigned(scene, "mac-1");
    visit(scene);
    scene.pool.orders.release(machine.connection.identity.machineId, epochSchema.parse(2), scene.now);
    expect(machine.connection.isOwnerBusy).toBe(false);
    expect(visit(scene).refusedWith).toBe("machine_busy");
  });

  it("may take as long as a drain and a load before it is accepted", () => {
    const scene = new PoolScene();
    const machine = joinAssigned(scene, "mac-1");
    const client = visit(scene);
    scene.advance(249_000, machine);
    expect(client.ended).toBeNull();
    scene.advance(2_000, machine);
    expect(client.brokenWith).toBe("provider_error");
  });
});

describe("[F10] a request that prefers its owner's machine", () => {
  it("is served by it though no machine is there for the public", () => {
    const scene = new PoolScene();
    const machine = scene.join("mac-1", { private_only: true });
    const client = scene.ask({ owner: route("public", "mac-1") });
    scene.serve(scene.requestOf(machine), "hello");
    expect(client.ended).toBe("finished");
  });

  it("is served by it though another machine would answer sooner", () => {
    const scene = new PoolScene();
    const own = scene.join("mac-1", { loaded_models: [] });
    const foreign = scene.join("mac-2");
    scene.ask({ owner: route("public", "mac-1") });
    expect(scene.requestsOf(own)).toHaveLength(1);
    expect(scene.requestsOf(foreign)).toEqual([]);
  });

  it("is like any other if its own machine has no room, is not there or fails", () => {
    const scene = new PoolScene();
    const own = scene.join("mac-1", { max_concurrency: 1 });
    const foreign = scene.join("mac-2");
    scene.ask({ owner: route("public", "mac-1") });
    const first = scene.requestOf(own);
    scene.ask({ owner: route("public", "mac-1") });
    expect(scene.requestOf(foreign).request["owner_bypass"]).toBe(false);
    scene.ask({ owner: route("public", "mac-9") });
    expect(scene.requestsOf(foreign)).toHaveLength(1);
    scene.error(first, "fault", "engine_failed");
    scene.heartbeat(foreign, { max_concurrency: 4 });
    expect(scene.requestsOf(foreign)).toHaveLength(1);
    const alone = new PoolScene();
    expect(alone.ask({ owner: route("public", "mac-1") }).refusedWith).toBe("model_unavailable");
    expect(alone.outcomes()).toEqual({ model_unavailable: 1 });
  });

  it("is declined at once and uncounted in a pool where only its own machine could serve it", () => {
    const scene = new PoolScene();
    joinAssigned(scene, "mac-1");
    scene.join("mac-2");
    expect(scene.ask({ model: OTHER, owner: route("decline", "mac-9") }).refusedWith).toBe("machine_busy");
    expect(scene.outcomes()).toEqual({});
  });

  it("[F8] is in demand where it is served, and nowhere else", () => {
    const scene = new PoolScene();
    const mac = joinAssigned(scene, "mac-1");
    scene.ask({ owner: route("decline", "mac-9") });
    expect(scene.pool.ledger.demand.totals().arrivals).toBe(0);
    expect(scene.news).not.toContainEqual({ kind: "demand" });
    scene.ask({ owner: route("decline", "mac-1") });
    expect(scene.requestsOf(mac)).toHaveLength(1);
    expect(scene.pool.ledger.demand.totals().arrivals).toBe(1);
    scene.ask({ owner: route("wait", "mac-9") });
    expect(scene.pool.ledger.demand.totals().arrivals).toBe(2);
    scene.flags({ shed_models: [MODEL] });
    expect(scene.ask({ owner: route("decline", "mac-9") }).refusedWith).toBe("model_shed");
    expect(scene.pool.ledger.demand.totals().arrivals).toBe(3);
    expect(scene.ask().refusedWith).toBe("model_shed");
    expect(scene.pool.ledger.demand.totals().arrivals).toBe(4);
  });

  it("is told by an event that it got nothing if its client has been kept waiting with comments", () => {
    const scene = new PoolScene();
    const machine = joinAssigned(scene, "mac-1");
    const client = scene.ask({ owner: route("decline", "mac-1") });
    const sent = scene.requestOf(machine);
    scene.accept(sent);
    scene.advance(4000, machine);
    expect(client.comments).toBe(1);
    scene.error(sent, "capacity", "switching_model");
    expect(client.brokenWith).toBe("machine_busy");
  });

  it("is served when its own machine has room, behind public ones that no machine has room for", () => {
    const scene = new PoolScene();
    const own = scene.join("mac-1", { private_only: true, max_concurrency: 1 });
    const foreign = scene.join("mac-2", { max_concurrency: 1 });
    scene.ask({ owner: route("wait", "mac-1") });
    scene.ask();
    const running = scene.requestOf(own);
    expect(scene.requestsOf(foreign)).toHaveLength(1);
    scene.ask();
    scene.ask({ owner: route("wait", "mac-1") });
    scene.serve(running, "x");
    expect(scene.requestsOf(own)).toHaveLength(1);
  });

  it("[F8] is in demand where it is refused for all to hear, and not sent on", () => {
    const scene = new PoolScene();
    joinAssigned(scene, "mac-1");
    const body = "x".repeat(LONG_BODIES_BYTES_MAX + 1);
    expect(scene.ask({ body, owner: route("decline", "mac-1") }).refusedWith).toBe("queue_full");
    expect(scene.pool.ledger.demand.totals().arrivals).toBe(1);
  });
});

describe("[H21] the gate, for the owner,", () => {
  it.each([
    ["opens a private machine", { privateOnly: true }, null],
    ["does not ask for the pool's own model on disk", { advertises: false }, null],
    ["stays shut while the machine stops", { accepting: false }, "not_accepting"],
    ["stays shut while it is too hot", { thermalState: "critical" as const }, "too_hot"],
  ])("%s", (_, fields, reason) => {
    const connection = aConnection(fields);
    expect(routableGate(connection, MODEL, 1, "owner")).toBe(reason);
    expect(gate(connection, MODEL, 4, 1, "owner")).toBe(reason);
  });
});
