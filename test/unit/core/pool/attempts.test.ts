import { describe, expect, it } from "vitest";

import { PoolScene, type Sent } from "./pool-scene.ts";

/** How far an attempt has come when something happens to it. */
const STEPS = {
  "before it was accepted": () => undefined,
  "after it was accepted": (scene: PoolScene, sent: Sent) => scene.accept(sent),
} as const;
type Step = keyof typeof STEPS;

const TROUBLES = {
  "a refusal": (scene: PoolScene, sent: Sent) => scene.error(sent, "capacity", "no_free_slot"),
  "a fault": (scene: PoolScene, sent: Sent) => scene.error(sent, "fault", "engine_crashed"),
  "a cancel nobody asked for": (scene: PoolScene, sent: Sent) => scene.error(sent, "cancelled", "odd"),
  "the loss of the socket": (scene: PoolScene, sent: Sent) => scene.lose(sent.machine),
  "a frame whose lengths do not add up": (scene: PoolScene, sent: Sent) =>
    scene.pool.receiveFrame(sent.machine.connection, new ArrayBuffer(7), scene.now),
  "text that does not parse": (scene: PoolScene, sent: Sent) =>
    scene.pool.receive(sent.machine.connection, "not json", scene.now),
  "completing without an answer": (scene: PoolScene, sent: Sent) => scene.complete(sent),
} as const;
type Trouble = keyof typeof TROUBLES;

const everyTrouble = Object.keys(TROUBLES) as Trouble[];
const everyStep = Object.keys(STEPS) as Step[];

describe("before the first byte", () => {
  it.each(everyTrouble.flatMap((trouble) => everyStep.map((step) => [trouble, step] as const)))(
    "[F15] %s %s moves the request to another machine",
    (trouble, step) => {
      const scene = new PoolScene();
      const [first, second] = [scene.join("mac-1"), scene.join("mac-2")];
      const client = scene.ask();
      const sent = scene.requestOf(first);
      STEPS[step](scene, sent);
      TROUBLES[trouble](scene, sent);
      expect(client.ended).toBeNull();
      const again = scene.requestOf(second);
      expect(again.request["request_id"]).toBe(sent.request["request_id"]);
      scene.serve(again, "ok");
      expect(client.text).toBe("ok");
      expect(client.ended).toBe("finished");
      expect(scene.outcomes()).toEqual({ ok: 1 });
    },
  );

  it("an empty record is no byte, nor a sign that one will come", () => {
    const scene = new PoolScene();
    const [first, second] = [scene.join("mac-1"), scene.join("mac-2")];
    scene.ask();
    const sent = scene.requestOf(first);
    scene.rawBytes(sent, "");
    expect(scene.requestsOf(second)).toEqual([]);
    scene.accept(sent);
    scene.advance(59_000, first, second);
    scene.rawBytes(sent, "");
    scene.advance(1250, first, second);
    expect(scene.requestsOf(second)).toHaveLength(1);
  });

  it("bytes of a machine that has not accepted are a fault", () => {
    const scene = new PoolScene();
    const [first, second] = [scene.join("mac-1"), scene.join("mac-2")];
    const client = scene.ask();
    scene.bytes(scene.requestOf(first), "early");
    expect(client.text).toBe("");
    expect(first.socket.take("cancel")).toHaveLength(1);
    expect(scene.requestsOf(second)).toHaveLength(1);
  });

  it("[F15] what the client got wrong is never tried on a second machine", () => {
    const scene = new PoolScene();
    const [first, second] = [scene.join("mac-1"), scene.join("mac-2")];
    const client = scene.ask();
    scene.error(scene.requestOf(first), "client", "context_length_exceeded");
    expect(client.refusal).toMatchObject({
      code: "context_length_exceeded",
      message: "told context_length_exceeded",
    });
    expect(scene.requestsOf(second)).toEqual([]);
  });
});

describe("after the first byte", () => {
  it.each(everyTrouble.filter((trouble) => trouble !== "completing without an answer"))(
    "%s ends the stream with an error event and nothing is tried again",
    (trouble) => {
      const scene = new PoolScene();
      const [first, second] = [scene.join("mac-1"), scene.join("mac-2")];
      const client = scene.ask();
      const sent = scene.requestOf(first);
      scene.accept(sent);
      scene.bytes(sent, "half");
      TROUBLES[trouble](scene, sent);
      expect(client.text).toBe("half");
      expect(client.brokenWith).toBe("provider_error");
      scene.advance(10_000, first, second);
      expect(scene.requestsOf(second)).toEqual([]);
    },
  );

  it("an answer that is collected and not streamed is started anew elsewhere", () => {
    const scene = new PoolScene();
    const [first, second] = [scene.join("mac-1"), scene.join("mac-2")];
    const client = scene.ask({ stream: false });
    const sent = scene.requestOf(first);
    scene.accept(sent);
    scene.bytes(sent, "half");
    scene.lose(first);
    scene.serve(scene.requestOf(second), "whole");
    expect(client.text).toBe("whole");
    expect(client.ended).toBe("complete");
  });
});

describe("the machines tried", () => {
  /** Four machines that answer what they are sent with an error, each in its turn. */
  function askFour(errorClass: string, code: string) {
    const scene = new PoolScene();
    const macs = ["mac-1", "mac-2", "mac-3", "mac-4"].map((id) => scene.join(id));
    const answerOnce = () =>
      macs.map((mac) => {
        const requests = scene.requestsOf(mac);
        for (const sent of requests) scene.error(sent, errorClass, code);
        return requests.length;
      });
    return { scene, macs, client: scene.ask(), answerOnce };
  }

  it("[F15] are three at most when each fails", () => {
    const { scene, macs, client, answerOnce } = askFour("fault", "broken");
    expect(answerOnce()).toEqual([1, 1, 1, 0]);
    expect(client.refusedWith).toBe("provider_error");
    scene.advance(10_000, ...macs);
    expect(macs.flatMap((mac) => scene.requestsOf(mac))).toEqual([]);
  });

  it("[F15] are all that may have room, again and again, until it has waited as long as it may", () => {
    const { scene, macs, client, answerOnce } = askFour("capacity", "switching_model");
    expect(answerOnce()).toEqual([1, 1, 1, 1]);
    for (let waitedMs = 0; waitedMs < 6000; waitedMs += 500) {
      expect(client.ended).toBeNull();
      scene.advance(500, ...macs);
      answerOnce();
    }
    scene.advance(250);
    expect(client.refusedWith).toBe("queue_timeout");
  });

  it("[F15] and the last of them serves it if it has room", () => {
    const { scene, macs, client } = askFour("capacity", "no_free_slot");
    for (const mac of macs.slice(0, 3)) scene.error(scene.requestOf(mac), "capacity", "no_free_slot");
    for (const mac of macs.slice(3)) scene.serve(scene.requestOf(mac), "ok");
    expect(client.ended).toBe("finished");
  });

  it("do not include the one at fault a second time, even if it is the only one", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    scene.error(scene.requestOf(mac), "fault", "broken");
    expect(client.refusedWith).toBe("provider_error");
    expect(scene.requestsOf(mac)).toEqual([]);
  });

  it("[F15] include the one that refused, but only after half a second", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    scene.error(scene.requestOf(mac), "capacity", "no_free_slot");
    const other = scene.ask();
    scene.advance(250, mac);
    expect(scene.requestsOf(mac)).toEqual([]);
    scene.advance(250, mac);
    for (const sent of scene.requestsOf(mac)) scene.serve(sent, "ok");
    expect([client.ended, other.ended]).toEqual(["finished", "finished"]);
  });

  it.each([
    ["refuses", () => {}],
    ["accepts first, and refuses then", (scene: PoolScene, sent: Sent) => scene.accept(sent)],
  ])("[F15] are not asked for as fast as a machine says that it has room, which %s", (_, before) => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    let refusals = 0;
    for (let sent = scene.requestsOf(mac)[0]; sent !== undefined; sent = scene.requestsOf(mac)[0]) {
      before(scene, sent);
      scene.error(sent, "capacity", "no_free_slot");
      scene.heartbeat(mac);
      refusals += 1;
      if (refusals > 20) break;
    }
    expect(refusals).toBe(8);
    scene.advance(500, mac);
    scene.serve(scene.requestOf(mac), "ok");
    expect(client.ended).toBe("finished");
    // Once it has answered, its word counts again.
    scene.ask();
    scene.error(scene.requestOf(mac), "capacity", "no_free_slot");
    scene.heartbeat(mac);
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });

  it("[F15] of another request include the one at fault: a fault costs a machine nothing else", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.ask();
    scene.error(scene.requestOf(mac), "fault", "broken");
    scene.ask();
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });
});

describe("a machine that was lost", () => {
  it("gets its request again when it comes back in time", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    scene.lose(mac);
    scene.advance(1500);
    expect(client.ended).toBeNull();
    scene.serve(scene.requestOf(scene.join("mac-1")), "back");
    expect(client.text).toBe("back");
  });

  it("is waited for no longer than 6 s", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask({ stream: false });
    scene.lose(mac);
    scene.advance(5750);
    expect(client.ended).toBeNull();
    scene.advance(250);
    expect(client.refusedWith).toBe("provider_error");
  });

  it("is waited for anew by one that has waited for it before", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 1 });
    scene.ask({ keyId: "other" });
    const running = scene.requestOf(mac);
    const client = scene.ask({ stream: false });
    scene.advance(5000, mac);
    scene.serve(running, "x");
    expect(scene.requestsOf(mac)).toHaveLength(1);
    scene.lose(mac);
    scene.advance(5750);
    expect(client.ended).toBeNull();
    scene.advance(250);
    expect(client.refusedWith).toBe("provider_error");
  });

  it("is not waited for if it had said goodbye", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    scene.heartbeat(mac, { accepting: false });
    scene.lose(mac);
    expect(client.refusedWith).toBe("provider_error");
  });
});

describe("[F5] [H16] the end of a drain", () => {
  /** A request that one of two machines has accepted; `unanswered` gives what either was sent since. */
  function taken() {
    const scene = new PoolScene();
    const machines = [scene.join("mac-1"), scene.join("mac-2")];
    const unanswered = (): Sent[] => machines.flatMap((machine) => scene.requestsOf(machine));
    const client = scene.ask();
    const [sent] = unanswered();
    if (sent === undefined) throw new Error("nobody was asked");
    scene.accept(sent);
    return { scene, client, sent, unanswered };
  }

  it("ends a stream that has begun with an error event that names the cause, and blames nobody", () => {
    const { scene, client, sent, unanswered } = taken();
    scene.bytes(sent, "half");
    scene.error(sent, "capacity", "switching_model");
    expect(client.ended).toMatchObject({ broken: { message: expect.stringContaining("switching_model") } });
    expect(unanswered()).toEqual([]);
  });

  it("sends one without a byte to another machine", () => {
    const { scene, client, sent, unanswered } = taken();
    scene.error(sent, "capacity", "switching_model");
    const [again] = unanswered();
    if (again === undefined) throw new Error("it was not tried again");
    scene.serve(again, "whole");
    expect(client.ended).toBe("finished");
  });
});
