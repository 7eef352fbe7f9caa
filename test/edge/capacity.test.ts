import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";

import type { ModelCapacity } from "../../core/fleet/capacity.ts";
import { RECONNECT_GRACE_MS } from "../../core/limits.ts";
import { Fleet } from "../../durable-objects/fleet.ts";
import { join } from "./fake-provider.ts";
import {
  advanceClock,
  breakDown,
  chat,
  errorOf,
  fetchEdge,
  fleet,
  poolOf,
  scene,
  stopClock,
  until,
  untilEmpty,
  untilQueued,
  type Scene,
} from "./scene.ts";

async function capacityOf(at: Scene): Promise<ModelCapacity | undefined> {
  const response = await fetchEdge("/v1/models/capacity");
  expect(response.headers.get("cache-control")).toBe("public, max-age=2");
  const { data } = await response.json<{ data: ModelCapacity[] }>();
  return data.find(({ id }) => id === at.model);
}

const past = (at: Scene): Promise<void> => advanceClock(poolOf(at), 2_000);

describe("the capacity of models", () => {
  it("can be read without a key, follows the pools, and survives their sleep", async () => {
    await stopClock();
    const at = await scene({ max_concurrency: 3 });
    await past(at);
    const none = { id: at.model, serving: 0, slots: 0, free_slots: 0, context_length: null, exhausted: true };
    expect(await capacityOf(at)).toEqual({
      ...none,
      queued: 0,
      ttft_p50_ms: null,
      loading: 0,
      eta_s: null,
    });
    const machine = await join(at, { models: [{ id: at.model, size_bytes: 1, context_length: 2048 }] });
    // Nobody is asked again within two seconds.
    expect(await capacityOf(at)).toMatchObject(none);
    await past(at);
    expect(await capacityOf(at)).toMatchObject({ serving: 1, slots: 3, free_slots: 3, exhausted: false });
    expect(await capacityOf(at)).toMatchObject({ context_length: 2048 });
    await evictDurableObject(poolOf(at));
    await evictDurableObject(fleet());
    await past(at);
    expect(await capacityOf(at)).toMatchObject({ serving: 1, slots: 3, free_slots: 3, exhausted: false });
    const clients = Array.from({ length: 4 }, () => new AbortController());
    for (const { signal } of clients) void chat(at, {}, { signal }).catch(() => undefined);
    await untilQueued(at, 1);
    await past(at);
    expect(await capacityOf(at)).toMatchObject({
      serving: 1,
      slots: 3,
      free_slots: 0,
      exhausted: false,
      queued: 1,
    });
    for (const client of clients) client.abort();
    machine.close();
    await untilEmpty(at);
    await past(at);
    // It may be back in a moment, and requests wait for it.
    expect(await capacityOf(at)).toMatchObject({ ...none, exhausted: false });
    await advanceClock(poolOf(at), RECONNECT_GRACE_MS);
    expect(await capacityOf(at)).toMatchObject(none);
  });

  it("is what is known while another request asks, unless that is older than 4 s", async () => {
    await stopClock();
    const at = await scene();
    // The test before has moved the clock.
    await advanceClock(poolOf(at), 600_000);
    await capacityOf(at);
    const answered = Promise.withResolvers<void>();
    let asked = 0;
    const { capacity } = Fleet.prototype;
    vi.spyOn(Fleet.prototype, "capacity").mockImplementation(async function (this: Fleet) {
      asked += 1;
      await answered.promise;
      return capacity.call(this);
    });
    vi.setSystemTime(Date.now() + 2_000);
    const asking = [capacityOf(at)];
    await until(() => asked === 1);
    vi.setSystemTime(Date.now() + 1_999);
    expect(await capacityOf(at)).toMatchObject({ serving: 0 });
    expect(asked).toBe(1);
    vi.setSystemTime(Date.now() + 1);
    asking.push(capacityOf(at));
    await until(() => asked === 2);
    answered.resolve();
    expect(await Promise.all(asking)).toMatchObject([{ serving: 0 }, { serving: 0 }]);
    vi.restoreAllMocks();
  });

  it("is 503 while the fleet does not answer, which is logged", async () => {
    await stopClock();
    const at = await scene();
    // The test before has moved the clock.
    await advanceClock(poolOf(at), 1_200_000);
    const warned = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    await runInDurableObject<Fleet, void>(fleet(), (_, state) => {
      const capacity = vi.spyOn(Fleet.prototype, "capacity");
      capacity.mockImplementationOnce(() => breakDown(state));
    });
    const response = await fetchEdge("/v1/models/capacity");
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await errorOf(response)).toMatchObject({ status: 503, code: "try_again" });
    expect(warned).toHaveBeenCalledWith(expect.objectContaining({ event: "fleet_unreachable" }));
  });
});
