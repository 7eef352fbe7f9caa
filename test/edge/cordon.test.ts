import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";

import { expectAnswer, HELLO, join } from "./fake-provider.ts";
import {
  adminCall,
  callAdmin,
  chat,
  chatBody,
  errorOf,
  fetchEdge,
  fleet,
  poolOf,
  resetObject,
  rowsOf,
  scene,
  until,
  type Scene,
} from "./scene.ts";

/** Machines that an operator keeps requests away from, in real objects. */

const order = (machineId: string, word: "cordon" | "uncordon") =>
  adminCall("POST", `/machines/${machineId}/${word}`);

const details = (machineId: string) => adminCall("GET", `/machines/${machineId}`);

const blockedBy = async (at: Scene) => (await poolOf(at).report(4)).machines[0]?.blockedBy;

describe("a machine that is cordoned", () => {
  it("finishes its request, gets no other, and serves again once it is uncordoned", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = chat(at, { stream: true });
    const request = await machine.next("inference_request");
    expect(await order(machine.machineId, "cordon")).toEqual({
      machine_id: machine.machineId,
      epoch: 0,
      waiting_for: [],
    });
    expect(await details(machine.machineId)).toMatchObject({
      cordoned: true,
      state: "unmanaged",
      in_flight: 1,
      explanation: { gate: "cordoned", why: expect.stringContaining("finishes 1 request") },
    });
    expect(await errorOf(await chat(at))).toMatchObject({ status: 503, code: "model_unavailable" });
    const asOwner = await fetchEdge("/v1/chat/completions", {
      method: "POST",
      headers: { authorization: `Bearer ${at.apiKey}`, "x-pool-route": "self" },
      body: chatBody(at),
    });
    expect(await errorOf(asOwner)).toMatchObject({ status: 503, code: "machine_offline" });
    machine.answer(request);
    expect(await (await pending).text()).toBe(HELLO);
    await order(machine.machineId, "uncordon");
    expect(await details(machine.machineId)).toMatchObject({ cordoned: false, explanation: { gate: null } });
    await expectAnswer(at, machine);
  });

  it("stays so when its pool, the fleet or its own program starts anew", async () => {
    const at = await scene();
    const machine = await join(at);
    const { machineId } = machine;
    await order(machineId, "cordon");
    await evictDurableObject(poolOf(at));
    expect(await blockedBy(at)).toBe("cordoned");
    await resetObject(poolOf(at));
    expect((await machine.closed).code).toBeGreaterThan(0);
    await join(at, {}, machineId);
    expect(await blockedBy(at)).toBe("cordoned");
    await resetObject(fleet());
    const again = await join(at, {}, machineId);
    expect(await blockedBy(at)).toBe("cordoned");
    await order(machineId, "uncordon");
    await expectAnswer(at, again);
  });

  it("is cordoned at the next tick in a pool that has missed it", async () => {
    const at = await scene();
    const machine = await join(at);
    const { machineId } = machine;
    await runInDurableObject(fleet(), (_, state) => {
      state.storage.sql.exec(
        "UPDATE machines SET cordoned_at = ? WHERE machine_id = ?",
        Date.now(),
        machineId,
      );
    });
    await resetObject(fleet());
    expect(await blockedBy(at)).toBeNull();
    await runDurableObjectAlarm(fleet());
    await until(async () => (await blockedBy(at)) === "cordoned");
  });

  it("is said not to be known yet to a pool that does not answer, and what runs there to be unknown", async () => {
    const at = await scene();
    const { machineId } = await join(at);
    await rowsOf(poolOf(at), "ALTER TABLE cordons RENAME TO hidden");
    expect(await order(machineId, "cordon")).toMatchObject({ waiting_for: [at.model] });
    expect(await details(machineId)).toMatchObject({ unreachable_pools: [] });
    await rowsOf(poolOf(at), "ALTER TABLE hidden RENAME TO cordons");
    await runDurableObjectAlarm(fleet());
    await until(async () => (await blockedBy(at)) === "cordoned");
    expect(await order(machineId, "cordon")).toMatchObject({ waiting_for: [] });
    await rowsOf(fleet(), "INSERT INTO memberships VALUES (?, '-broken', 0)", machineId);
    await evictDurableObject(fleet());
    expect(await details(machineId)).toMatchObject({ unreachable_pools: ["-broken"] });
    await rowsOf(fleet(), "DELETE FROM memberships WHERE pool = '-broken'");
    await evictDurableObject(fleet());
  });

  it("must be known", async () => {
    for (const word of ["cordon", "uncordon"]) {
      const refused = await errorOf(await callAdmin("POST", `/machines/mac-unknown/${word}`));
      expect(refused).toMatchObject({ status: 404, code: "not_found" });
    }
  });
});
