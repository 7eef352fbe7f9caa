import { expect, it } from "vitest";

import { pseudonymOf, routeHeaders } from "../../../../core/pool/route-headers.ts";
import { epochSchema, machineIdSchema } from "../../../../protocol/ids.ts";
import { MODEL, PoolScene } from "./pool-scene.ts";

const id = (text: string) => machineIdSchema.parse(text);

it("an answer tells how long it took, how long it waited, how often it was tried, and where", () => {
  const scene = new PoolScene();
  const [first, second] = [scene.join("mac-1"), scene.join("mac-2", { max_concurrency: 1 })];
  const client = scene.ask();
  scene.error(scene.requestOf(first), "fault", "broken");
  scene.now += 250;
  expect(routeHeaders(client.request, scene.now)).toEqual({
    "openai-processing-ms": "250",
    "server-timing": "queue;dur=0, machine;dur=250",
    "x-pool-queue-ms": "0",
    "x-pool-attempts": "2",
    "x-pool-machine": pseudonymOf(second.connection.identity),
  });
});

it("one that waited tells for how long, and a managed machine by which order it serves", () => {
  const scene = new PoolScene();
  const mac = scene.join("mac-1", { max_concurrency: 1 });
  scene.pool.orders.expect(
    id("mac-1"),
    epochSchema.parse(7),
    { drainMs: 1, loadMs: 1000, publicKey: "k" },
    scene.now,
  );
  scene.say(mac, { type: "assign_model_status", model_id: MODEL, epoch: 7, status: "succeeded" });
  scene.ask();
  const waiting = scene.ask();
  scene.now += 1234;
  expect(routeHeaders(waiting.request, scene.now)).toEqual({
    "openai-processing-ms": "1234",
    "server-timing": "queue;dur=1234",
    "x-pool-queue-ms": "1234",
    "x-pool-attempts": "0",
  });
  scene.serve(scene.requestOf(mac), "x");
  scene.now += 5000;
  expect(routeHeaders(waiting.request, scene.now)).toMatchObject({
    "openai-processing-ms": "6234",
    "server-timing": "queue;dur=1234, machine;dur=5000",
    "x-pool-queue-ms": "1234",
    "x-pool-attempts": "1",
    "x-assignment-epoch": "7",
  });
});

it("no time is negative, though the edge's clock may be ahead", () => {
  const scene = new PoolScene();
  scene.join("mac-1");
  const { request } = scene.ask();
  expect(routeHeaders(request, scene.now - 20)).toMatchObject({
    "openai-processing-ms": "0",
    "server-timing": "queue;dur=0, machine;dur=0",
  });
});

it("a machine goes by a name that is not its id, and that no other has", () => {
  const names = ["mac-1", "mac-2"].flatMap((machineId) =>
    ["acme", "else"].map((owner) => pseudonymOf({ owner, machineId: id(machineId) })),
  );
  expect(new Set(names).size).toBe(4);
  for (const name of names) expect(name).toMatch(/^[0-9a-f]{8}$/);
});
