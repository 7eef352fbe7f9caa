import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";

import { DRAIN_TIMEOUT_MS, LOAD_TIMEOUT_MS, REQUEST_DEADLINE_MS } from "../../core/limits.ts";
import { epochSchema, machineIdSchema } from "../../protocol/ids.ts";
import { expectAnswer, HELLO, join } from "./fake-provider.ts";
import {
  advanceClock,
  chat,
  errorOf,
  fleet,
  poolOf,
  resetObject,
  rowsOf,
  scene,
  stopClock,
  untilQueued,
  type Scene,
} from "./scene.ts";

describe("a pool that is reset", () => {
  it("[H18] before it has answered gets the request again under the same id", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = chat(at, { stream: true });
    const request = await machine.next("inference_request");
    machine.accept(request);
    await resetObject(poolOf(at));
    await machine.closed;
    const back = await join(at, {}, machine.machineId);
    const again = await back.next("inference_request");
    expect(again["request_id"]).toBe(request["request_id"]);
    expect(again["body"]).toEqual(request["body"]);
    back.answer(again);
    const response = await pending;
    expect(await response.text()).toBe(HELLO);
    expect((await poolOf(at).report(4)).inFlight).toBe(0);
  });

  it("[H18] twice before it has answered is asked a third time", async () => {
    const at = await scene();
    let machine = await join(at);
    const pending = chat(at);
    const ids = [(await machine.next("inference_request"))["request_id"]];
    for (let resets = 0; resets < 2; resets++) {
      await resetObject(poolOf(at));
      await machine.closed;
      machine = await join(at, {}, machine.machineId);
      const request = await machine.next("inference_request");
      ids.push(request["request_id"]);
      if (resets === 1) machine.answer(request, "{}");
    }
    expect((await pending).status).toBe(200);
    expect(new Set(ids).size).toBe(1);
  });

  it("[H18] again and again ends in 502, after the third time", async () => {
    const at = await scene();
    await join(at);
    const warned = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    // Without it the pool cannot even start.
    await rowsOf(poolOf(at), "DROP TABLE connected_machines");
    await resetObject(poolOf(at));
    const response = await chat(at);
    expect(response.headers.get("x-request-id")).toMatch(/^req_/);
    expect(await errorOf(response)).toMatchObject({ status: 502, code: "provider_error" });
    const broke = warned.mock.calls.filter(
      ([{ event, pool }]) => event === "pool_call_broke" && pool === at.model,
    );
    expect(broke).toHaveLength(3);
    warned.mockRestore();
  });

  it("[H18] after the request's deadline is not asked again", async () => {
    const at = await scene();
    const machine = await join(at);
    await stopClock();
    const pending = chat(at);
    await machine.next("inference_request");
    await rowsOf(poolOf(at), "DROP TABLE connected_machines");
    vi.setSystemTime(Date.now() + REQUEST_DEADLINE_MS);
    await resetObject(poolOf(at));
    expect(await errorOf(await pending)).toMatchObject({ status: 504, code: "deadline_exceeded" });
  });

  it("[H18] after the headers breaks the connection off and never ends it cleanly", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = chat(at, { stream: true });
    const request = await machine.next("inference_request");
    machine.accept(request);
    machine.bytes(request, "data: half\n\n");
    const response = await pending;
    const reader = response.body?.getReader();
    await reader?.read();
    await resetObject(poolOf(at));
    await expect(reader?.read()).rejects.toThrow("reset by the test");
    expect((await machine.closed).code).toBe(1006);
    const back = await join(at, {}, machine.machineId);
    await back.hasHeardAll(at);
    expect(back.unread).toEqual([]);
  });

  it("[H19] makes new requests wait for the machines that were there", async () => {
    const at = await scene();
    const machine = await join(at);
    await resetObject(poolOf(at));
    await machine.closed;
    const pending = chat(at, { stream: true });
    await untilQueued(at, 1);
    const back = await join(at, {}, machine.machineId);
    back.answer(await back.next("inference_request"));
    expect(await (await pending).text()).toBe(HELLO);
  });

  it("[H19] makes them wait for nobody else, and not for ever", async () => {
    const at = await scene();
    expect((await errorOf(await chat(at))).code).toBe("model_unavailable");
    const machine = await join(at);
    await resetObject(poolOf(at));
    await machine.closed;
    await stopClock();
    const pending = chat(at);
    await untilQueued(at, 1);
    await advanceClock(poolOf(at), 6250);
    expect((await errorOf(await pending)).code).toBe("model_unavailable");
    await advanceClock(poolOf(at), 4500);
    expect(await rowsOf(poolOf(at), "SELECT * FROM connected_machines")).toEqual([]);
    expect((await errorOf(await chat(at))).code).toBe("model_unavailable");
  });
});

/** From now on the pool waits for a machine, for a minute. */
async function expectMachine(at: Scene, machineId: string): Promise<void> {
  await poolOf(at).perform({
    kind: "expect",
    machineId: machineIdSchema.parse(machineId),
    epoch: epochSchema.parse(1),
    terms: { drainMs: DRAIN_TIMEOUT_MS, loadMs: LOAD_TIMEOUT_MS, publicKey: "k" },
  });
}

it("[H13] a pool sets its alarm anew each time it has rung, while it has a deadline to watch", async () => {
  const at = await scene();
  await expectMachine(at, "mac-1");
  for (let rings = 0; rings < 3; rings++) expect(await runDurableObjectAlarm(poolOf(at))).toBe(true);
});

it("[H13] a pool's alarm rings for the earliest of its deadlines, also if that has come last", async () => {
  const at = await scene();
  const alarmAt = async (): Promise<number> =>
    Number(await runInDurableObject(poolOf(at), (_, { storage }) => storage.getAlarm()));
  const deadlines = () => rowsOf(poolOf(at), "SELECT deadline_at FROM records ORDER BY machine_id");
  await expectMachine(at, "mac-1");
  await rowsOf(poolOf(at), "UPDATE records SET deadline_at = deadline_at + 120000");
  await resetObject(poolOf(at));
  await poolOf(at).usage(0);
  expect(await deadlines()).toEqual([{ deadline_at: await alarmAt() }]);
  await expectMachine(at, "mac-2");
  const [, last] = await deadlines();
  expect(last).toEqual({ deadline_at: await alarmAt() });
  await poolOf(at).usage(0);
  expect(last).toEqual({ deadline_at: await alarmAt() });
});

describe("[D11] a fleet that is reset", () => {
  it("costs no request", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = chat(at);
    const request = await machine.next("inference_request");
    await resetObject(fleet());
    machine.answer(request, "{}");
    expect((await pending).status).toBe(200);
    await expectAnswer(at, machine);
    await join(at);
  });
});
