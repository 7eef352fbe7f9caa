import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";

import { EMPTY_PLACEMENT_STATE } from "../../core/placement/config.ts";
import { INITIAL_SETTINGS } from "../../core/pool/settings.ts";
import { SqlFleetStore } from "../../durable-objects/storage/fleet-store.ts";
import { SqlIdlePoolStore } from "../../durable-objects/storage/idle-pool-store.ts";
import { SqlPlacementStore } from "../../durable-objects/storage/placement-store.ts";
import { PoolStore } from "../../durable-objects/storage/pool-store.ts";
import { epochSchema, machineIdSchema, modelIdSchema } from "../../protocol/ids.ts";
import { M3_MAX } from "../../protocol/sample-hardware.ts";
import { connect, dial, expectAnswer, registerMessage, type FakeProvider } from "./fake-provider.ts";
import {
  adminCall,
  callAdmin,
  chat,
  errorOf,
  fleet,
  newToken,
  pin,
  poolOf,
  resetObject,
  rowsOf,
  scene,
  setFlag,
  testEnv,
  unique,
  until,
  type Scene,
} from "./scene.ts";

/** What a later version has written, read by this one after somebody has stepped back to it. */

const [MAC, OTHER] = [machineIdSchema.parse("mac-1"), machineIdSchema.parse("mac-2")];
const A = modelIdSchema.parse("a");

/** An empty database, and what was warned of while it was used: the tables with rows that were not understood. */
async function onDisk(use: (storage: DurableObjectStorage, warned: () => unknown[]) => void): Promise<void> {
  const warnings = vi.spyOn(console, "warn").mockImplementation(() => undefined);
  await runInDurableObject(testEnv.FLEET.getByName(unique("back")), async (_, { storage }) => {
    await storage.deleteAll();
    use(storage, () => warnings.mock.calls.splice(0).map(([line]: unknown[]) => line));
  });
  warnings.mockRestore();
}

const about = (table: string, rows = 1): unknown =>
  expect.objectContaining({ event: "rows_not_understood", table, rows });

const machine = {
  machineId: MAC,
  owner: "o",
  publicKey: "k",
  version: "0.7.0",
  sessionId: "s",
  tokenId: "t",
  privateOnly: false,
  hardware: M3_MAX,
  models: [{ id: A, sizeBytes: 1, decodeTps: null, prefillTps: null }],
  maxConcurrency: 2,
  pools: [A],
  isQuarantined: true,
  cordonedAt: 3,
  uncordonedAt: null,
  firstRegisteredAt: 1,
  registeredAt: 2,
  goneAt: null,
  leftAt: null,
};

const order = {
  machineId: MAC,
  epoch: epochSchema.parse(7),
  model: A,
  from: null,
  reason: "pinned",
  phase: "done",
  outcome: "succeeded",
  error: null,
  pending: [],
  holders: ["a"],
  isHeard: true,
  isPinned: true,
  startedAt: 1,
  phaseAt: 2,
  rounds: 3,
  retryAt: null,
} as const;

const line = {
  at: 1,
  machineId: MAC,
  from: null,
  to: A,
  epoch: epochSchema.parse(1),
  reason: "again",
  outcome: "failed",
  error: null,
  tookMs: 1,
} as const;

const record = {
  machineId: MAC,
  mode: "assigned",
  epoch: epochSchema.parse(3),
  since: 4,
  deadlineAt: null,
  terms: { drainMs: 6, loadMs: 7, publicKey: "k" },
  progress: 0,
  error: null,
} as const;

/** Everything that a fleet writes, once. */
function fillFleet(storage: DurableObjectStorage): void {
  const store = new SqlFleetStore(storage);
  store.saveMachine(machine);
  store.saveMembership({ machineId: MAC, pool: "a", dialedAt: 1 });
  store.saveIntent(order);
  store.saveCooldown({ machineId: MAC, model: A, until: 1 });
  store.saveConfigured("a", 1);
  store.addSwitch(line);
  store.saveFlag({ name: "placement", text: "shadow", lastRead: null, invalid: null }, 1);
  store.saveCatalog(1, "[]");
  store.saveLastReadCatalog("[]");
  store.revokeToken("t", 1);
  const placement = new SqlPlacementStore(storage.sql);
  placement.savePlacement({
    learnedAt: 1,
    state: EMPTY_PLACEMENT_STATE,
    counted: {},
    last: null,
  });
  placement.saveScore({ mode: null, elsewhere: [], days: [], trial: null });
  placement.addPlan({ at: 1, mode: "shadow", halted: null, models: [], moves: [], stays: {} });
  placement.saveSchedule({ lastAt: 1, quietTicks: 1 });
  placement.addPoolInDemand("a");
  placement.saveLoadTime({ machineId: MAC, model: A, seconds: 9 });
  new SqlIdlePoolStore(storage.sql).saveIdlePool({ pool: "a", readAt: 1, totals: new Map([["n", 1]]) });
}

/** Everything that a pool writes, once. */
function fillPool(storage: DurableObjectStorage): void {
  const store = new PoolStore(storage);
  store.saveSettings(INITIAL_SETTINGS);
  store.rememberMachine(MAC);
  store.cordons.put(MAC, 1);
  store.records.put(record);
  store.addEntries(
    {
      usage: [
        {
          hourAt: 9e12,
          keyId: "k",
          outcome: "ok",
          requests: 1,
          promptTokens: 2,
          completionTokens: 3,
          cachedTokens: 4,
        },
      ],
      demand: [{ minuteAt: 9e12, arrivals: 1, promptTokens: 2, completed: 3, completionTokens: 4 }],
      totals: [{ name: "n", value: 1 }],
      speeds: [{ machineId: MAC, speed: { prefillTps: 1, decodeTps: [2] } }],
      work: [
        {
          machineId: MAC,
          owner: "o",
          dayAt: 9e12,
          requests: 1,
          promptTokens: 2,
          completionTokens: 3,
          cachedTokens: 4,
        },
      ],
    },
    9e12,
  );
}

function tablesOf({ sql }: DurableObjectStorage): string[] {
  return sql
    .exec<{ name: string }>(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'",
    )
    .toArray()
    .map(({ name }) => name)
    .filter((name) => !name.startsWith("sqlite_"));
}

describe("a table that a later version has widened", () => {
  it.each([
    ["the fleet", fillFleet],
    ["a pool", fillPool],
  ])("of %s takes what this one writes", async (_, fill) => {
    await onDisk((storage, warned) => {
      fill(storage);
      const tables = tablesOf(storage);
      expect(tables.length).toBeGreaterThan(8);
      for (const table of tables) storage.sql.exec(`ALTER TABLE ${table} ADD COLUMN later TEXT DEFAULT 'x'`);
      fill(storage);
      expect(warned()).toEqual([]);
    });
  });
});

describe("a row in the words of a later version costs that row alone:", () => {
  it("of a machine all but its owner, its key and what operators have decided, which no register says again", async () => {
    await onDisk((storage, warned) => {
      const store = new SqlFleetStore(storage);
      store.saveMachine(machine);
      store.saveMachine({ ...machine, machineId: OTHER, isQuarantined: false, cordonedAt: null });
      storage.sql.exec(
        `UPDATE machines SET hardware = '{"chips":2}', models = '7' WHERE machine_id = ?`,
        MAC,
      );
      storage.sql.exec("UPDATE machines SET quarantined = 2, private_only = 2 WHERE machine_id = ?", OTHER);
      expect(store.machines()).toMatchObject([
        {
          machineId: MAC,
          owner: "o",
          publicKey: "k",
          isQuarantined: true,
          cordonedAt: 3,
          models: [],
          pools: [],
        },
        { machineId: OTHER, hardware: M3_MAX, isQuarantined: true, privateOnly: true },
      ]);
      expect(warned()).toEqual([about("machines")]);
      storage.sql.exec(
        "UPDATE machines SET machine_id = 'No Id of Ours', hardware = '{' WHERE machine_id = ?",
        MAC,
      );
      expect(store.machines()).toMatchObject([{ machineId: OTHER }]);
    });
  });

  it("of an order how far it is, but not its epoch: it is to be given anew", async () => {
    await onDisk((storage, warned) => {
      const store = new SqlFleetStore(storage);
      store.saveIntent(order);
      store.saveIntent({ ...order, machineId: OTHER });
      const unread = {
        ...order,
        phase: "releasing",
        outcome: null,
        holders: [],
        isHeard: false,
        rounds: 0,
        retryAt: 2,
      };
      for (const change of [
        "phase = 'warming'",
        "phase = 'done', outcome = 'mostly'",
        "pending = '{'",
        "holders = '[7]'",
      ]) {
        storage.sql.exec(`UPDATE intents SET ${change} WHERE machine_id = ?`, MAC);
        expect(store.intents()).toEqual([unread, { ...order, machineId: OTHER }]);
        expect(warned()).toEqual([about("intents")]);
      }
      storage.sql.exec("UPDATE intents SET model = '?', from_model = '?' WHERE machine_id = ?", MAC);
      expect(store.intents()[0]).toEqual({ ...unread, model: null });
      storage.sql.exec("UPDATE intents SET epoch = -1 WHERE machine_id = ?", MAC);
      expect(store.intents()).toEqual([{ ...order, machineId: OTHER }]);
    });
  });

  it("of what the fleet keeps besides, nothing that it cannot do without", async () => {
    await onDisk((storage, warned) => {
      const { sql } = storage;
      fillFleet(storage);
      const store = new SqlFleetStore(storage);
      const placement = new SqlPlacementStore(sql);
      sql.exec("UPDATE memberships SET machine_id = '?'");
      sql.exec("UPDATE cooldowns SET model = '?'");
      sql.exec("UPDATE switches SET outcome = 'mostly'");
      sql.exec("UPDATE switch_totals SET outcome = 'mostly'");
      sql.exec("UPDATE load_times SET model = '?'");
      sql.exec("UPDATE idle_pools SET totals = '{'");
      for (const table of ["plans", "placement", "placement_score"])
        sql.exec(`UPDATE ${table} SET json = '{'`);
      const read = [
        store.memberships(),
        store.cooldowns(),
        store.switches(9),
        store.switchTotals(),
        placement.loadTimes(),
        new SqlIdlePoolStore(sql).idlePools(),
        placement.plans(9),
      ];
      expect(read).toEqual(read.map(() => []));
      expect(warned()).toEqual(
        ["memberships", "cooldowns", "switches", "switch_totals", "load_times", "idle_pools"].map((table) =>
          about(table),
        ),
      );
      expect([placement.placement(), placement.score()]).toEqual([null, null]);
      expect(warned()).toMatchObject([{ event: "placement_forgotten" }, { event: "placement_forgotten" }]);
    });
  });

  it("[H2] of a pool's record its mode: the machine takes no request, and its epoch counts", async () => {
    await onDisk((storage, warned) => {
      fillPool(storage);
      storage.sql.exec("UPDATE records SET mode = 'resting', deadline_at = 5");
      const { records } = new PoolStore(storage);
      expect(records.all()).toEqual([{ ...record, mode: "released" }]);
      storage.sql.exec("UPDATE records SET epoch = -1");
      expect(records.all()).toMatchObject([{ mode: "released", epoch: 0 }]);
      storage.sql.exec("UPDATE records SET machine_id = '?'");
      expect(records.all()).toEqual([]);
      expect(warned()).toEqual([about("records"), about("records"), about("records")]);
    });
  });

  it("of a pool's settings, the level of trust, which is the strictest then", async () => {
    await onDisk((storage) => {
      fillPool(storage);
      storage.sql.exec(`UPDATE settings SET json = replace(json, '"none"}', '"sealed"}')`);
      const { flags } = INITIAL_SETTINGS;
      expect(new PoolStore(storage).settings()).toEqual({
        ...INITIAL_SETTINGS,
        flags: { ...flags, min_trust_level: "hardware" },
      });
    });
  });

  it("of what a pool keeps besides, what it learns again", async () => {
    await onDisk((storage, warned) => {
      fillPool(storage);
      for (const table of ["connected_machines", "cordons"])
        storage.sql.exec(`UPDATE ${table} SET machine_id = '?'`);
      for (const table of ["speeds", "settings"]) storage.sql.exec(`UPDATE ${table} SET json = '{'`);
      const store = new PoolStore(storage);
      expect(store.connectedMachines()).toEqual([]);
      expect([...store.cordons.all()]).toEqual([]);
      const { totals, speeds } = store.ledger();
      expect(totals).toEqual([{ name: "n", value: 1 }]);
      expect(speeds()).toEqual([]);
      expect(store.settings()).toEqual(INITIAL_SETTINGS);
      expect(warned()).toEqual([about("connected_machines"), about("cordons"), about("speeds")]);
    });
  });
});

/** A socket of a machine that holds the pool's model by this order. */
async function comeBack(at: Scene, machineId: string, epoch: number): Promise<FakeProvider> {
  const socket = await connect(at, machineId);
  socket.send(
    registerMessage(machineId, [at.model], {
      loaded_models: [at.model],
      version: "0.7.0",
      assignment: { model_id: at.model, epoch },
    }),
  );
  await socket.next("registered");
  return socket;
}

/** A machine that serves the model by order. */
async function assigned(at: Scene): Promise<{ machineId: string; epoch: number }> {
  const machineId = unique("mac");
  const socket = await connect(at, machineId);
  socket.send(registerMessage(machineId, [at.model], { loaded_models: [at.model], version: "0.7.0" }));
  await socket.next("registered");
  const { epoch } = await pin(machineId, at);
  await obey(at, socket, epoch);
  return { machineId, epoch };
}

/** The machine says that it has carried out this order, and is believed. */
async function obey(at: Scene, socket: FakeProvider, epoch: number): Promise<void> {
  socket.send({ type: "assign_model_status", model_id: at.model, epoch, status: "succeeded" });
  await until(async () => {
    const { state } = await adminCall<{ state: string }>("GET", `/machines/${socket.machineId}`);
    return state === "assigned";
  });
}

/** The order that comes next with a newer epoch than this; until then the fleet ticks. */
async function newerOrder(socket: FakeProvider, than: number): Promise<number> {
  let newest: number | null = null;
  const hear = async (): Promise<void> => {
    for (let epoch = 0; epoch <= than; newest = epoch)
      epoch = Number((await socket.next("assign_model"))["epoch"]);
  };
  const heard = hear();
  await until(async () => {
    await runDurableObjectAlarm(fleet());
    return newest !== null && newest > than;
  });
  await heard;
  return newest ?? 0;
}

describe("after a step back", () => {
  it("a key with a priority that nobody knows works as any other, and one that says nothing hides no other", async () => {
    const at = await scene();
    const name = `key:${at.keyId}`;
    const kept = await testEnv.KEYS.get<object>(name, "json");
    await testEnv.KEYS.put(name, JSON.stringify({ ...kept, priority: "urgent", colour: "red" }));
    const listed = async (): Promise<unknown> => {
      const { keys } = await adminCall<{ keys: { id: string }[] }>("GET", "/keys");
      return keys.find(({ id }) => id === at.keyId);
    };
    expect(await listed()).toMatchObject({ priority: "normal" });
    expect((await errorOf(await chat(at))).code).not.toBe("invalid_api_key");
    const warned = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    await testEnv.KEYS.put(name, JSON.stringify({ ...kept, limits: "many" }));
    expect(await listed()).toBeUndefined();
    expect(warned.mock.calls).toMatchObject([[{ event: "key_not_understood", param: "limits" }]]);
    warned.mockRestore();
    expect((await callAdmin("DELETE", `/keys/${at.keyId}`)).status).toBe(200);
  });

  it("[H2] a machine whose record says what nobody understands serves nobody, until the fleet has ordered it again", async () => {
    await setFlag("assignment_gate", "on");
    const at = await scene();
    const { machineId, epoch } = await assigned(at);
    await rowsOf(poolOf(at), "UPDATE records SET mode = 'resting'");
    await resetObject(poolOf(at));
    const socket = await comeBack(at, machineId, epoch);
    const { machines } = await poolOf(at).report(4);
    expect(machines).toMatchObject([{ machineId, blockedBy: "released" }]);
    await obey(at, socket, await newerOrder(socket, epoch));
    await expectAnswer(at, socket);
    await setFlag("assignment_gate", "off");
  });

  it("[D1] a fleet with an order and a flag that it does not understand goes on, and finds that the order was obeyed", async () => {
    await setFlag("assignment_gate", "on");
    const at = await scene();
    const { machineId, epoch } = await assigned(at);
    await rowsOf(fleet(), "UPDATE intents SET phase = 'warming' WHERE machine_id = ?", machineId);
    await setFlag("placement", "shadow");
    await rowsOf(fleet(), "UPDATE flags SET text = 'dreaming' WHERE name = 'placement'");
    await rowsOf(fleet(), 'UPDATE catalog SET json = replace(json, \'"floor"\', \'"colour":"red","floor"\')');
    await resetObject(fleet());
    const { flags } = await adminCall<{ flags: { name: string }[] }>("GET", "/flags");
    expect(flags.find(({ name }) => name === "placement")).toMatchObject({
      value: "off",
      valid: false,
      invalid: "dreaming",
    });
    const socket = await comeBack(at, machineId, epoch);
    await expectAnswer(at, socket);
    await until(async () => {
      await runDurableObjectAlarm(fleet());
      const { state } = await adminCall<{ state: string }>("GET", `/machines/${machineId}`);
      return state === "assigned";
    });
    expect(socket.unread).not.toContain("assign_model");
    await setFlag("placement", "off");
    await setFlag("assignment_gate", "off");
  });

  it("[H17] a fleet whose gate a later version has set to what it does not understand releases nobody", async () => {
    await setFlag("assignment_gate", "on");
    const at = await scene();
    const { machineId, epoch } = await assigned(at);
    await rowsOf(fleet(), "UPDATE flags SET text = 'pinned_only' WHERE name = 'assignment_gate'");
    await resetObject(fleet());
    await runDurableObjectAlarm(fleet());
    expect(await adminCall("GET", `/machines/${machineId}`)).toMatchObject({ state: "assigned", epoch });
    await setFlag("assignment_gate", "off");
  });

  it("[H22] a machine of which little is understood is nobody else's, and its next register makes it whole", async () => {
    const at = await scene();
    const machineId = unique("mac");
    const socket = await connect(at, machineId);
    socket.send(registerMessage(machineId, [at.model]));
    await socket.next("registered");
    expect((await callAdmin("POST", `/machines/${machineId}/cordon`)).status).toBe(202);
    await rowsOf(fleet(), "UPDATE machines SET hardware = '{}' WHERE machine_id = ?", machineId);
    await resetObject(fleet());
    const stranger = await newToken("mallory");
    expect((await dial(stranger.token, `machine=${machineId}&pool=${at.model}`)).status).toBe(403);
    const again = await connect(at, machineId);
    again.send(registerMessage(machineId, [at.model]));
    await again.next("registered");
    expect(await adminCall("GET", `/machines/${machineId}`)).toMatchObject({
      cordoned: true,
      models: [at.model],
    });
    expect((await chat(at)).status).toBe(503);
  });
});
