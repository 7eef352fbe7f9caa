import { verify } from "node:crypto";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { attestedText } from "../../protocol/attestation.ts";
import { ExampleProcess } from "../support/example-process.ts";
import { FakeCoordinator, type CoordinatorSocket } from "../support/fake-coordinator.ts";

/** The corners of the protocol, as the provider of `examples/` shows them to whoever writes another one. */

let coordinator: FakeCoordinator;
let example: ExampleProcess;

beforeEach(async () => {
  coordinator = await FakeCoordinator.start();
  example = new ExampleProcess(coordinator.url, "the-token", ["alpha", "beta"]);
});
afterEach(async () => {
  await example.dispose();
  await coordinator.stop();
});

const UNMANAGED = { model_id: null, epoch: 0, drain_ms: 30_000, load_ms: 180_000 };

/** Starts it against a coordinator that lists these pools with an assignment. */
async function start(pools: readonly string[] = ["alpha"], assignment: object = UNMANAGED) {
  coordinator.registered = () => ({ pools, assignment });
  example.start();
  const socket = await coordinator.nextSocket();
  await socket.next("register");
  await socket.next("heartbeat");
  return socket;
}

function order(model_id: string | null, epoch: number, fields: object = {}) {
  const pools = model_id === null ? ["alpha", "beta"] : [model_id];
  return {
    type: "assign_model",
    model_id,
    epoch,
    pools,
    reason: "",
    drain_ms: 500,
    load_ms: 9000,
    ...fields,
  };
}

/** A stream of this many tokens whose first one is here. */
async function begin(socket: CoordinatorSocket, stream: number, max_tokens: number) {
  socket.request(stream, { body: { model: socket.pool, messages: [], stream: true, max_tokens } });
  await socket.next("inference_accepted");
  await expect.poll(() => socket.streamText(stream)).toContain("I am");
}

/** The pools that were dialed so far, in order. */
const dialed = (): (string | null)[] =>
  coordinator.upgrades.map(({ url }) => new URL(url ?? "", coordinator.url).searchParams.get("pool"));

describe("the example's requests", () => {
  it("sends the role with the first text, and the usage and the end after the last", async () => {
    const socket = await start();
    const body = { model: "an-alias", messages: [], stream: true, stream_options: { include_usage: true } };
    socket.request(1, { body, flush_ms: 2000 });
    const { usage, timings } = await socket.next("inference_complete");
    expect(usage).toMatchObject({ completion_tokens: 12 });
    expect(timings.decode_ms).toBeGreaterThan(0);
    const events = socket.streamText(1).split("\n\n");
    expect(JSON.parse(events[0]?.slice("data: ".length) ?? "")).toMatchObject({
      model: "an-alias",
      choices: [{ delta: { role: "assistant", content: "I am alpha." }, finish_reason: null }],
    });
    expect(events.at(-3)).toContain('"choices":[],"usage":{"prompt_tokens":');
    expect(events.slice(-2)).toEqual(["data: [DONE]", ""]);
    // The first bytes at once, and then many tokens in one frame.
    expect(socket.frames).toBeGreaterThanOrEqual(2);
    expect(socket.frames).toBeLessThan(12);
  });

  it("sends nothing of a stream that is paused, nor its last word, until it is resumed", async () => {
    const socket = await start();
    await begin(socket, 1, 100);
    socket.send({ type: "pause", stream: 1 });
    await begin(socket, 2, 120);
    const before = socket.streamText(1);
    expect(await socket.next("inference_complete")).toMatchObject({ stream: 2 });
    expect(socket.streamText(1)).toBe(before);
    expect(socket.order.filter((type) => type === "inference_complete")).toHaveLength(1);
    socket.send({ type: "resume", stream: 1 });
    expect(await socket.next("inference_complete")).toMatchObject({ stream: 1 });
    expect(socket.streamText(1)).toContain('"content":" 99"');
    expect(socket.streamText(1)).toContain("[DONE]");
  });

  it.each([
    ["an endpoint it does not know", { endpoint: "/v1/embeddings" }, "client", "unsupported"],
    ["a model it does not have", { model_id: "gamma" }, "capacity", "not_assigned_model"],
    ["another model while something runs", { model_id: "beta" }, "capacity", "no_free_slot"],
  ])("refuses %s, and does not accept it before", async (_, fields, kind, code) => {
    const socket = await start();
    await begin(socket, 1, 2000);
    socket.request(2, fields);
    expect(await socket.next("inference_error")).toMatchObject({ stream: 2, class: kind, code });
    expect(socket.order.filter((type) => type === "inference_accepted")).toHaveLength(1);
  });

  it("lets requests wait for a model that is being loaded, up to its slots", async () => {
    const socket = await start();
    for (const stream of [1, 2, 3]) socket.request(stream);
    socket.request(4, { model_id: "beta" });
    expect(await socket.next("inference_error")).toMatchObject({ stream: 3, code: "no_free_slot" });
    expect(await socket.next("inference_error")).toMatchObject({ stream: 4, code: "switching_model" });
    expect(await socket.next("inference_accepted")).toMatchObject({ stream: 1 });
    expect(await socket.next("inference_accepted")).toMatchObject({ stream: 2 });
  });

  it("ends a request at its deadline", async () => {
    const socket = await start();
    socket.request(1, { deadline_ms: 50 });
    expect(await socket.next("inference_error")).toMatchObject({
      class: "capacity",
      code: "switching_model",
    });
    await socket.next("heartbeat", ({ loaded_models }) => loaded_models[0] === "alpha");
    socket.request(2, { deadline_ms: 100, body: { model: "alpha", messages: [], max_tokens: 500 } });
    expect(await socket.next("inference_error")).toMatchObject({ class: "fault", code: "deadline_exceeded" });
  });
});

describe("the example's orders", () => {
  it("[H16] drains: without a byte to the drain's end, with bytes twice as long, and the last byte before the error", async () => {
    const alpha = await start();
    await begin(alpha, 1, 2000);
    alpha.request(2, { body: { model: "alpha", messages: [], max_tokens: 2000 } });
    await alpha.next("inference_accepted");
    alpha.send(order("beta", 3));
    for (const stream of [2, 1]) {
      expect(await alpha.next("inference_error")).toMatchObject({
        stream,
        class: "capacity",
        code: "switching_model",
      });
    }
    expect(alpha.streamText(2)).toBe("");
    const beta = await coordinator.nextSocket();
    expect(await beta.next("register")).toMatchObject({ assignment: { model_id: "beta", epoch: 3 } });
    expect(await beta.next("assign_model_status", ({ status }) => status === "succeeded")).toEqual({
      type: "assign_model_status",
      model_id: "beta",
      epoch: 3,
      status: "succeeded",
    });
  });

  it("[H9] tells repeated, older and conflicting orders from new ones by their epochs alone", async () => {
    const socket = await start();
    socket.send(order("alpha", 5));
    await socket.next("assign_model_status", ({ status }) => status === "succeeded");
    socket.send(order("alpha", 5));
    await socket.next("assign_model_status", ({ status, epoch }) => status === "succeeded" && epoch === 5);
    socket.send(order("beta", 4));
    const assignment = { model_id: "alpha", epoch: 5 };
    await socket.next("heartbeat", ({ assignment: held }) => held?.epoch === 5);
    expect(example.kept.assignment).toEqual(assignment);
    // The status of a conflict goes to the pool of the model that it names.
    socket.send(order("beta", 5, { pools: ["alpha", "beta"] }));
    const beta = await coordinator.nextSocket();
    await beta.next("heartbeat");
    socket.send(order("beta", 5, { pools: ["alpha", "beta"] }));
    expect(await beta.next("assign_model_status")).toMatchObject({
      model_id: "beta",
      epoch: 5,
      status: "failed",
      error: { code: "epoch_conflict" },
    });
    expect(example.kept.assignment).toEqual(assignment);
  });

  it("[F14] says nothing more of a switch that a newer order has overtaken", async () => {
    const alpha = await start(["alpha", "beta"]);
    const beta = await coordinator.nextSocket();
    await beta.next("heartbeat");
    beta.send(order("beta", 2, { pools: ["alpha", "beta"] }));
    await beta.next("assign_model_status", ({ status }) => status === "loading");
    beta.send(order("alpha", 3, { pools: ["alpha", "beta"] }));
    await alpha.next("assign_model_status", ({ status }) => status === "succeeded");
    expect(beta.order.filter((type) => type === "assign_model_status")).toHaveLength(1);
    expect(example.output).not.toContain("loaded beta");
  });

  it("[F14] goes on with what it was draining when it is ordered to stay", async () => {
    const alpha = await start(["alpha", "beta"]);
    const beta = await coordinator.nextSocket();
    await beta.next("heartbeat");
    await begin(alpha, 1, 150);
    beta.send(order("beta", 2, { pools: ["alpha", "beta"], drain_ms: 20_000 }));
    expect(await beta.next("assign_model_status")).toMatchObject({ status: "draining" });
    beta.send(order("alpha", 3, { pools: ["alpha", "beta"] }));
    expect(await alpha.next("assign_model_status")).toMatchObject({ status: "succeeded", epoch: 3 });
    expect(await alpha.next("inference_complete")).toMatchObject({ usage: { completion_tokens: 150 } });
    alpha.request(2);
    await alpha.next("inference_complete");
    expect(beta.order.filter((type) => type === "assign_model_status")).toHaveLength(1);
  });

  it("fails an order for a model that it does not have, and refuses everything until the next one", async () => {
    const socket = await start();
    socket.send(order("gamma", 2, { pools: ["alpha"] }));
    await expect.poll(() => example.kept.assignment).toEqual({ model_id: "gamma", epoch: 2 });
    socket.request(1);
    expect(await socket.next("inference_error")).toMatchObject({ code: "not_assigned_model" });
    socket.send(order(null, 3, { pools: ["alpha"] }));
    await socket.next("heartbeat", ({ assignment }) => assignment?.epoch === 3);
    socket.request(2);
    expect(await socket.next("inference_accepted")).toMatchObject({ stream: 2 });
  });
});

describe("the example's sockets", () => {
  it("[H10] follows the newest list, and closes a socket that is not in it once its work is done", async () => {
    const alpha = await start();
    await begin(alpha, 1, 60);
    const list = { machine_id: "", pool: "alpha", assignment: UNMANAGED, heartbeat_ms: 60_000, flush_ms: 40 };
    coordinator.registered = () => ({ pools: ["beta"] });
    alpha.send({ type: "registered", ...list, pools: ["beta"] });
    const beta = await coordinator.nextSocket();
    expect(beta.pool).toBe("beta");
    await alpha.next("inference_complete");
    expect((await alpha.closed).code).toBe(1000);
    expect(beta.ws.readyState).toBe(beta.ws.OPEN);
  });

  it("[H7] [H10] dials a pool again after 4002 only if a newer list names it, or nothing else is up", async () => {
    const alpha = await start(["alpha", "beta"]);
    const beta = await coordinator.nextSocket();
    await beta.next("heartbeat");
    alpha.ws.close(4002);
    await expect.poll(() => example.output).toContain("alpha: closed with 4002\n");
    beta.ws.close(4002);
    await expect.poll(() => example.output).toContain("next dial");
    expect(example.output).not.toContain("alpha: next dial");
    // The last one to go is dialed again, with a backoff; the other stays away until it is listed.
    expect((await coordinator.nextSocket()).pool).toBe("beta");
    expect((await coordinator.nextSocket()).pool).toBe("alpha");
    expect(dialed()).toEqual(["alpha", "beta", "beta", "alpha"]);
  });

  it("dials the pool of a new order at once, although it was to wait for minutes", async () => {
    const alpha = await start();
    coordinator.refusal = { status: 404, body: '{"error":{"code":"model_not_found"}}' };
    alpha.send(order("beta", 1));
    await expect.poll(() => example.output).toContain("beta: refused with 404");
    coordinator.refusal = null;
    alpha.send(order("beta", 1));
    alpha.send(order("beta", 2));
    expect((await coordinator.nextSocket()).pool).toBe("beta");
    expect(dialed()).toEqual(["alpha", "beta", "beta"]);
  });

  it("[H11] leaves a pool alone after 4001 if another of its sockets is there", async () => {
    const first = await start(["alpha", "beta"]);
    const second = await coordinator.nextSocket();
    // The coordinator has moved the second socket: now it is the one in alpha.
    const moved = {
      pool: "alpha",
      pools: ["alpha"],
      assignment: UNMANAGED,
      heartbeat_ms: 60_000,
      flush_ms: 40,
    };
    await second.next("heartbeat");
    second.send({ type: "registered", machine_id: "", ...moved });
    await second.next("heartbeat");
    first.ws.close(4001);
    await first.closed;
    second.request(1, { model_id: "alpha" });
    await second.next("inference_complete");
    expect(example.output).toContain("alpha: closed with 4001");
    expect(example.output).not.toContain("next dial");
    expect(dialed()).toEqual(["alpha", "beta"]);
  });

  /** How long it said that it waits for its next dial. */
  async function waitMs(): Promise<number> {
    const said = (): string | undefined => /next dial in (\d+) ms/.exec(example.output)?.[1];
    await expect.poll(said).toBeDefined();
    return Number(said());
  }

  it.each([
    [1000, 500, 1000],
    [1012, 0, 2000],
    [4000, 30_000, 30_000],
    [4001, 5000, 30_000],
    [4004, 500, 1000],
  ])("after %i it waits %i to %i ms", async (code, least, most) => {
    (await start()).ws.close(code);
    const ms = await waitMs();
    expect([ms >= least, ms <= most, ms]).toEqual([true, true, ms]);
  });

  it.each([
    [401, {}, 60_000, 60_000],
    [404, {}, 15_000, 15_000],
    [503, { "retry-after": "7" }, 7500, 8000],
    [403, {}, 500, 1000],
  ])("after a refusal with %i and %j it waits %i to %i ms", async (status, headers, least, most) => {
    // Without a code: what says 403 is something on the way.
    coordinator.refusal = { status, headers };
    example.start();
    const ms = await waitMs();
    expect([ms >= least, ms <= most, ms]).toEqual([true, true, ms]);
  });

  it.each([
    ["4005", (socket: CoordinatorSocket) => socket.ws.close(4005)],
    ["4007", (socket: CoordinatorSocket) => socket.ws.close(4007)],
  ])("stops for good after %s", async (code, close) => {
    close(await start());
    expect(await example.exited).toBe(1);
    expect(example.output).toContain(`does not want this machine: ${code}`);
  });

  it("[H22] stops for good when the upgrade is forbidden, and tries another model when there is no such pool", async () => {
    coordinator.refusal = { status: 404, body: '{"error":{"code":"model_not_found"}}' };
    example.start();
    await expect.poll(dialed).toEqual(["alpha", "beta"]);
    await example.dispose();
    coordinator.refusal = { status: 403, body: '{"error":{"code":"machine_not_allowed"}}' };
    example = new ExampleProcess(coordinator.url, "the-token", ["alpha"]);
    example.start();
    expect(await example.exited).toBe(1);
    expect(example.output).toContain("machine_not_allowed");
  });

  it("waits as long as it is asked to, and keeps its id, its key and its session meanwhile", async () => {
    coordinator.refusal = { status: 429, headers: { "retry-after": "1" } };
    example.start();
    await expect.poll(dialed).toEqual(["alpha"]);
    const refusedAt = performance.now();
    coordinator.refusal = null;
    const socket = await coordinator.nextSocket();
    expect(performance.now() - refusedAt).toBeGreaterThan(1000);
    const register = await socket.next("register");
    socket.ws.close(1012);
    const again = await (await coordinator.nextSocket()).next("register");
    expect(again).toMatchObject({ session_id: register.session_id, public_key: register.public_key });
  });

  it.each([true, false])(
    "proves that it holds its key, by a signature over what it was asked, registered or not: %s",
    async (isRegistered) => {
      // A message of a type that nobody knows is ignored.
      coordinator.registered = () =>
        isRegistered ? { pools: ["alpha"], assignment: UNMANAGED } : { type: "not_yet" };
      example.start();
      const socket = await coordinator.nextSocket();
      const { public_key, machine_id, session_id, attests } = await socket.next("register");
      expect(attests).toBe(true);
      socket.send({ type: "attestation_challenge", nonce: "n", issued_at: 1795499918766 });
      const { signature, status, nonce } = await socket.next("attestation_response");
      expect([nonce, JSON.parse(status)]).toEqual(["n", { machine_id, session_id }]);
      const text = Buffer.from(attestedText("n", 1795499918766, status));
      const key = { key: Buffer.from(public_key, "base64"), format: "der", type: "spki" } as const;
      const how = { ...key, dsaEncoding: "ieee-p1363" } as const;
      expect(verify("sha256", text, how, Buffer.from(signature, "base64"))).toBe(true);
    },
  );
});
