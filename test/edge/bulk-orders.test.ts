import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { BULK_MACHINES_MAX } from "../../core/limits.ts";
import { MAX_EPOCH } from "../../protocol/ids.ts";
import { connect, expectAnswer, join, registerMessage, type FakeProvider } from "./fake-provider.ts";
import {
  adminCall,
  callAdmin,
  callWith,
  errorOf,
  fleet,
  newAdmin,
  pin,
  readChanges,
  resetObject,
  rowsOf,
  scene,
  setFlag,
  unique,
  until,
  type Scene,
} from "./scene.ts";

/** One order for many machines. */

interface Answer {
  readonly order: string;
  readonly dry_run: boolean;
  readonly accepted: number;
  readonly refused: number;
  readonly machines: readonly {
    readonly machine_id: string;
    readonly ok: boolean;
    readonly from: string | null;
    readonly epoch: number;
    readonly error: { readonly code: string; readonly message: string } | null;
  }[];
  readonly waiting_for: readonly string[];
}

const orderMany = (body: object, query = ""): Promise<Answer> =>
  adminCall("POST", `/machines/orders${query}`, body);

const machine = (id: string) => adminCall<Record<string, unknown>>("GET", `/machines/${id}`);

beforeEach(() => setFlag("assignment_gate", "on"));
afterEach(() => setFlag("assignment_gate", "off"));

/** Machines of a pool, with ids in order. */
async function herd(at: Scene, size: number, fields: object = {}): Promise<FakeProvider[]> {
  const prefix = unique("herd");
  const machines: FakeProvider[] = [];
  for (let n = 0; n < size; n += 1) machines.push(await join(at, fields, `${prefix}-${n}`));
  return machines;
}

const idsOf = (machines: readonly FakeProvider[]) => machines.map(({ machineId }) => machineId);

describe("one order for many machines", () => {
  it("is given to each that may have it, and says of each other why not", async () => {
    const at = await scene();
    const other = await scene();
    const [one, two] = await herd(at, 2);
    const elsewhere = await join(other);
    if (one === undefined || two === undefined) throw new Error("the herd is too small");
    const ids = [one.machineId, two.machineId, elsewhere.machineId, "nobody", one.machineId];
    const response = await callAdmin("POST", "/machines/orders", {
      order: "pin",
      model_id: at.model,
      machines: ids,
    });
    expect(response.status).toBe(202);
    const refusal = (code: string) => ({ code, message: expect.any(String) });
    expect(await response.json()).toEqual({
      order: "pin",
      model_id: at.model,
      dry_run: false,
      accepted: 2,
      refused: 2,
      machines: [
        { machine_id: one.machineId, ok: true, from: null, epoch: 1, error: null },
        { machine_id: two.machineId, ok: true, from: null, epoch: 1, error: null },
        {
          machine_id: elsewhere.machineId,
          ok: false,
          from: null,
          epoch: 0,
          error: refusal("machine_not_assignable"),
        },
        { machine_id: "nobody", ok: false, from: null, epoch: 0, error: refusal("not_found") },
      ],
      waiting_for: [],
    });
    for (const { machineId } of [one, two]) {
      expect(await machine(machineId)).toMatchObject({ assigned_model: at.model, order: { pinned: true } });
    }
    const released = await orderMany({ order: "release", machines: ids.slice(0, 2) });
    expect(released.machines).toMatchObject([
      { from: at.model, epoch: 2, ok: true },
      { from: at.model, epoch: 2, ok: true },
    ]);
    for (const provider of [one, two, elsewhere]) provider.close();
  });

  it("is one row in the log of changes, which is found by each machine in it", async () => {
    const at = await scene();
    const [one] = await herd(at, 1);
    const id = one?.machineId ?? "";
    await orderMany({ order: "cordon", machines: [id, "nobody"] });
    const { changes } = await readChanges(`?about=${id}`);
    expect(changes).toEqual([
      expect.objectContaining({
        what: "give an order to many machines",
        outcome: "done",
        after: { order: "cordon", accepted: [id], refused: ["nobody"] },
      }),
    ]);
    one?.close();
  });

  it.each(["unpin", "cordon", "uncordon", "quarantine", "readmit"])(
    "does what the order alone does: %s",
    async (order) => {
      const at = await scene();
      const machines = await herd(at, 3);
      const ids = idsOf(machines);
      const seen = async () =>
        Promise.all(
          ids.map(async (id) => {
            const { cordoned, quarantined, assigned_model, order: newest } = await machine(id);
            return { cordoned, quarantined, assigned_model, newest };
          }),
        );
      await orderMany({ order: "pin", model_id: at.model, machines: ids });
      const opposite = { uncordon: "cordon", readmit: "quarantine" }[order];
      if (opposite !== undefined) await orderMany({ order: opposite, machines: ids });
      const [alone = "", ...rest] = ids;
      await adminCall("POST", `/machines/${alone}/${order}`);
      expect(await orderMany({ order, machines: rest })).toMatchObject({
        accepted: 2,
        refused: 0,
        waiting_for: [],
      });
      const [first, ...others] = await seen();
      for (const one of others) expect(one).toEqual(first);
      for (const provider of machines) provider.close();
    },
  );

  it("keeps requests away from all of them once a cordon is answered", async () => {
    const at = await scene();
    const machines = await herd(at, 2);
    await orderMany({ order: "cordon", machines: idsOf(machines) });
    for (const id of idsOf(machines)) {
      expect(await machine(id)).toMatchObject({ cordoned: true, explanation: { gate: "cordoned" } });
    }
    await orderMany({ order: "uncordon", where: { assigned_model: null, has_model: at.model } });
    const [one, two] = machines;
    two?.close();
    await until(async () => (await machine(two?.machineId ?? ""))["pools"]?.toString() === "");
    if (one !== undefined) await expectAnswer(at, one);
    one?.close();
  });
});

describe("machines are chosen by how they are:", () => {
  it("all fields count, and the answer names them in the order of their ids", async () => {
    const at = await scene();
    const machines = await herd(at, 3);
    const ids = idsOf(machines);
    await orderMany({ order: "pin", model_id: at.model, machines: ids.slice(0, 2) });
    const chosen = async (where: object): Promise<string[]> =>
      (await orderMany({ order: "unpin", where }, "?dry_run=true")).machines.map(
        ({ machine_id }) => machine_id,
      );
    expect(await chosen({ has_model: at.model })).toEqual(ids);
    expect(await chosen({ assigned_model: at.model })).toEqual(ids.slice(0, 2));
    expect(await chosen({ assigned_model: null, has_model: at.model })).toEqual(ids.slice(2));
    expect(await chosen({ token_id: at.tokenId })).toEqual(ids);
    expect(
      await chosen({ token_id: at.tokenId, owner: "acme", cordoned: false, quarantined: false }),
    ).toEqual(ids);
    expect(await chosen({ token_id: at.tokenId, owner: "another" })).toEqual([]);
    expect(await chosen({ token_id: at.tokenId, cordoned: true })).toEqual([]);
    const { hardware } = await machine(ids[0] ?? "");
    expect(await chosen({ token_id: at.tokenId, chip: hardware })).toEqual(ids);
    expect(await chosen({ token_id: at.tokenId, chip: "Apple M1" })).toEqual([]);
    for (const provider of machines) provider.close();
  });

  it("none is no mistake", async () => {
    const response = await callAdmin("POST", "/machines/orders", {
      order: "unpin",
      where: { owner: "nobody" },
    });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ accepted: 0, refused: 0, machines: [] });
  });
});

describe("a dry run", () => {
  it("says what would come of it, and changes nothing", async () => {
    const at = await scene();
    const machines = await herd(at, 2);
    const ids = [...idsOf(machines), "nobody"];
    const before = await rowsOf(fleet(), "SELECT * FROM intents");
    const rows = await rowsOf(fleet(), "SELECT COUNT(*) AS n FROM audit");
    for (const order of ["pin", "release", "cordon", "quarantine"]) {
      const body = { order, machines: ids, ...(order === "pin" ? { model_id: at.model } : {}) };
      const response = await callAdmin("POST", "/machines/orders?dry_run=true", body);
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({ dry_run: true, accepted: 2, refused: 1 });
    }
    expect(await rowsOf(fleet(), "SELECT * FROM intents")).toEqual(before);
    expect(await rowsOf(fleet(), "SELECT COUNT(*) AS n FROM audit")).toEqual(rows);
    for (const id of idsOf(machines)) {
      expect(await machine(id)).toMatchObject({ cordoned: false, quarantined: false, epoch: 0 });
    }
    await setFlag("assignment_gate", "off");
    const refused = await orderMany({ order: "pin", model_id: at.model, machines: ids }, "?dry_run=true");
    expect(refused.machines.map(({ error }) => error?.code)).toEqual(["gate_off", "gate_off", "not_found"]);
    for (const provider of machines) provider.close();
  });

  it("[H9] tells of a machine whose epochs are used up as the order itself would", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => undefined);
    const [at, other] = [await scene(), await scene()];
    const machineId = unique("spent");
    const provider = await connect(at, machineId);
    provider.send(registerMessage(machineId, [at.model, other.model]));
    await provider.next("registered");
    await pin(machineId, at);
    await rowsOf(fleet(), "UPDATE intents SET epoch = ? WHERE machine_id = ?", MAX_EPOCH, machineId);
    await resetObject(fleet());
    for (const [body, isRefused] of [
      [{ order: "pin", model_id: at.model }, false],
      [{ order: "pin", model_id: other.model }, true],
      [{ order: "release" }, true],
      [{ order: "unpin" }, false],
    ] as const) {
      const asked = { ...body, machines: [machineId] };
      const dry = await orderMany(asked, "?dry_run=true");
      const real = await orderMany(asked);
      expect(dry.machines).toEqual(real.machines);
      expect(real.refused).toBe(Number(isRefused));
      expect(real.machines[0]?.error?.code).toBe(isRefused ? "machine_not_assignable" : undefined);
      expect(logged.mock.calls.length).toBe(Number(isRefused));
      logged.mockClear();
    }
    await rowsOf(fleet(), "UPDATE intents SET epoch = ? WHERE machine_id = ?", 9, machineId);
    await resetObject(fleet());
    provider.close();
    logged.mockRestore();
  });

  it("may be asked for with a token that may only read, and the order not", async () => {
    const { token } = await newAdmin("read");
    const body = { order: "cordon", machines: ["nobody"] };
    const ask = (query: string) => callWith(token, "POST", `/v1/admin/machines/orders${query}`, body);
    expect((await ask("?dry_run=true")).status).toBe(200);
    for (const query of ["", "?dry_run=false", "?dry_run=TRUE", "?dry_run="]) {
      expect(await errorOf(await ask(query))).toMatchObject({ status: 403, code: "read_only_token" });
    }
  });

  it("is not what an address means that knows none", async () => {
    expect(await errorOf(await callAdmin("POST", "/machines/mac-1/cordon?dry_run=true"))).toMatchObject({
      status: 400,
      param: "dry_run",
    });
  });
});

it.each<[object, string, string]>([
  [{ machines: ["mac-1"] }, "order", ""],
  [{ order: "sell", machines: ["mac-1"] }, "order", ""],
  [{ order: "cordon" }, "machines", ""],
  [{ order: "cordon", machines: [] }, "machines", ""],
  [{ order: "cordon", machines: ["a b"] }, "machines[0]", ""],
  [{ order: "cordon", machines: Array(BULK_MACHINES_MAX + 1).fill("mac-1") }, "machines", ""],
  [{ order: "cordon", machines: ["mac-1"], where: { owner: "acme" } }, "where", ""],
  [{ order: "cordon", where: {} }, "where", ""],
  [{ order: "cordon", where: { pool: "a" } }, "where.pool", ""],
  [{ order: "pin", machines: ["mac-1"] }, "model_id", ""],
  [{ order: "cordon", model_id: "a", machines: ["mac-1"] }, "model_id", ""],
  [{ order: "cordon", machines: ["mac-1"] }, "dry_run", "?dry_run=yes"],
])("an order that makes no sense is refused as a whole: %j", async (body, param, query) => {
  expect(await errorOf(await callAdmin("POST", `/machines/orders${query}`, body))).toMatchObject({
    status: 400,
    code: "invalid_request",
    param,
  });
});
