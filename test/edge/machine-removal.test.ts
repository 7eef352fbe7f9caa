import { evictDurableObject, runDurableObjectAlarm } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";

import { connect, expectAnswer, join, registerMessage, type FakeProvider } from "./fake-provider.ts";
import {
  adminCall,
  callAdmin,
  errorOf,
  fetchEdge,
  fleet,
  newToken,
  pin,
  poolOf,
  resetObject,
  rowsOf,
  scene,
  setFlag,
  unique,
  until,
  untilEmpty,
  type Scene,
} from "./scene.ts";

/** Machines that an operator deletes, in real objects. */

const remove = (machineId: string): Promise<Response> => callAdmin("DELETE", `/machines/${machineId}`);

/** Lets the fleet believe that whatever has registered or dialed did so long ago, and the pools that their records are old. */
async function passTime(...pools: readonly Scene[]): Promise<void> {
  for (const pool of pools.map(poolOf)) {
    await rowsOf(pool, "UPDATE records SET since = 0");
    await resetObject(pool);
  }
  await rowsOf(fleet(), "UPDATE machines SET registered_at = 0");
  await rowsOf(fleet(), "UPDATE memberships SET dialed_at = 0");
  await rowsOf(fleet(), "UPDATE intents SET phase_at = 0");
  await evictDurableObject(fleet());
}

async function leave(at: Scene, machine: FakeProvider): Promise<void> {
  machine.close();
  await until(async () => {
    const { machines } = await poolOf(at).report(4);
    return !machines.some((row) => row.machineId === machine.machineId && row.isConnected);
  });
  await passTime();
}

async function listed(): Promise<string[]> {
  const { machines } = await adminCall<{ machines: { machine_id: string }[] }>("GET", "/machines");
  return machines.map((row) => row.machine_id);
}

/** The tables in which the fleet still has the machine. */
async function tablesWith(machineId: string): Promise<string[]> {
  const tables = ["machines", "memberships", "intents", "cooldowns", "load_times"];
  const found = await Promise.all(
    tables.map((table) => rowsOf(fleet(), `SELECT 1 FROM ${table} WHERE machine_id = ?`, machineId)),
  );
  return tables.filter((_, index) => (found[index]?.length ?? 0) > 0);
}

describe("a machine", () => {
  it("that is connected cannot be deleted, and the answer says what to do", async () => {
    const at = await scene();
    const machine = await join(at);
    await passTime();
    const error = await errorOf(await remove(machine.machineId));
    expect(error).toMatchObject({ status: 409, code: "machine_connected", type: "invalid_request_error" });
    expect(error.message).toContain(at.model);
    expect(error.message).toContain("quarantine");
    expect(await listed()).toContain(machine.machineId);
    await expectAnswer(at, machine);
  });

  it("that was quarantined can, and is gone from every list", async () => {
    const at = await scene();
    const { machineId, closed } = await join(at);
    await passTime();
    await adminCall("POST", `/machines/${machineId}/quarantine`);
    await closed;
    expect(await adminCall("DELETE", `/machines/${machineId}`)).toEqual({
      machine_id: machineId,
      deleted: true,
    });
    expect(await listed()).not.toContain(machineId);
    for (const response of [
      await callAdmin("GET", `/machines/${machineId}`),
      await callAdmin("POST", `/machines/${machineId}/release`),
      await remove(machineId),
    ]) {
      expect(await errorOf(response)).toMatchObject({ status: 404, code: "not_found" });
    }
  });

  it("takes what it has answered along: the next owner of its id is told only of their own", async () => {
    const at = await scene();
    const machine = await join(at);
    const { machineId } = machine;
    await expectAnswer(at, machine);
    await leave(at, machine);
    expect((await remove(machineId)).status).toBe(200);

    const { token } = await newToken(unique("owner"));
    const next = await join({ ...at, token }, {}, machineId);
    const answered = async (secret: string): Promise<unknown> => {
      const headers = { authorization: `Bearer ${secret}` };
      const response = await fetchEdge(`/v1/providers/usage?machine=${machineId}`, { headers });
      return (await response.json<{ usage: unknown }>()).usage;
    };
    expect(await answered(token)).toEqual([]);
    await expectAnswer(at, next);
    expect(await answered(token)).toMatchObject([{ model_id: at.model, requests: 1 }]);
    next.close();
  });

  it("whose token was revoked can, too", async () => {
    const at = await scene();
    const { machineId, closed } = await join(at);
    await passTime();
    await adminCall("DELETE", `/provider-tokens/${at.tokenId}`);
    await closed;
    expect((await remove(machineId)).status).toBe(200);
  });

  it("that has just left can within a minute, not at once", async () => {
    const at = await scene();
    const machine = await join(at);
    machine.close();
    await untilEmpty(at);
    const error = await errorOf(await remove(machine.machineId));
    expect(error).toMatchObject({ status: 409, code: "machine_connected" });
    expect(error.message).toContain("minute");
    await passTime();
    expect((await remove(machine.machineId)).status).toBe(200);
  });

  it("is kept while a pool that may hold a socket of it does not answer", async () => {
    const at = await scene();
    const machine = await join(at);
    await leave(at, machine);
    await rowsOf(fleet(), "INSERT INTO memberships VALUES (?, '-broken', 0)", machine.machineId);
    await evictDurableObject(fleet());
    const refused = await remove(machine.machineId);
    expect(refused.headers.get("retry-after")).toBe("10");
    expect(await errorOf(refused)).toMatchObject({ status: 503, code: "try_again" });
    await rowsOf(fleet(), "DELETE FROM memberships WHERE pool = '-broken'");
    await evictDurableObject(fleet());
    expect((await remove(machine.machineId)).status).toBe(200);
  });

  it.each(["none-such", "Not An Id"])("that does not exist is 404: %s", async (id) => {
    expect(await errorOf(await remove(encodeURIComponent(id)))).toMatchObject({
      status: 404,
      code: "not_found",
    });
  });

  it("[H22] whose id is free again may belong to somebody else", async () => {
    const at = await scene();
    const machine = await join(at);
    const other = { ...at, token: (await newToken("heir")).token };
    await leave(at, machine);
    await expect(connect(other, machine.machineId)).rejects.toThrow("machine_not_allowed");
    await remove(machine.machineId);
    const heir = await join(other, { public_key: "another" }, machine.machineId);
    await expectAnswer(at, heir);
    expect(await adminCall("GET", `/machines/${machine.machineId}`)).toMatchObject({
      owner: "heir",
      epoch: 0,
    });
    await expect(connect(at, machine.machineId)).rejects.toThrow("machine_not_allowed");
  });
});

describe("a machine that was assigned", () => {
  beforeEach(() => setFlag("assignment_gate", "on"));

  it("[H1] [H9] [H17] is released, forgotten by its pool, and new under a higher epoch when it comes back", async () => {
    const at = await scene();
    const other = await scene();
    const models = [at.model, other.model];
    const machineId = unique("mac");
    const dialAt = (to: Scene): Promise<FakeProvider> => connect({ ...to, token: at.token }, machineId);
    const machine = await dialAt(at);
    machine.send(registerMessage(machineId, models));
    await machine.next("registered");
    await pin(machineId, at);
    const { epoch } = await machine.next("assign_model");
    machine.send({ type: "assign_model_status", model_id: at.model, epoch, status: "succeeded" });
    const recordsIn = (to: Scene) =>
      rowsOf(poolOf(to), "SELECT mode, epoch FROM records WHERE machine_id = ?", machineId);
    await until(async () => (await recordsIn(at))[0]?.["mode"] === "assigned");
    await expectAnswer(at, machine);
    await leave(at, machine);

    expect((await remove(machineId)).status).toBe(200);
    expect(await recordsIn(at)).toEqual([{ mode: "unmanaged", epoch: Number(epoch) + 1 }]);
    expect(await tablesWith(machineId)).toEqual(["memberships", "intents"]);
    await passTime(at);
    await until(async () => {
      await runDurableObjectAlarm(fleet());
      return !(await tablesWith(machineId)).includes("memberships");
    });
    expect(await recordsIn(at)).toEqual([]);

    const back = await dialAt(other);
    back.send(registerMessage(machineId, models, { assignment: { model_id: at.model, epoch } }));
    expect(await back.next("registered")).toMatchObject({
      pools: models,
      assignment: { model_id: null, epoch: Number(epoch) + 1 },
    });
    expect((await poolOf(at).report(4)).machines).toEqual([]);
    await expectAnswer(other, back);
    const pinned = await pin(machineId, other);
    expect(pinned.epoch).toBe(Number(epoch) + 2);
    await setFlag("assignment_gate", "off");
  });
});
