import { describe, expect, it } from "vitest";

import { machineIdSchema } from "../../../../protocol/ids.ts";
import { expected, say } from "./assigned-scene.ts";
import { anAdmission, PoolScene } from "./pool-scene.ts";

/** Machines that an operator keeps requests away from, as their pool treats them. */

const MAC = machineIdSchema.parse("mac-1");

function cordon(scene: PoolScene, isCordoned = true, cordonAsOf = scene.now++): void {
  scene.pool.orders.cordon(MAC, { isCordoned, cordonAsOf }, scene.now);
}

const blockedBy = (scene: PoolScene) => scene.pool.report(scene.now, 4).machines[0]?.blockedBy;

describe("a cordoned machine", () => {
  it("finishes what it runs and gets nothing new", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    cordon(scene);
    expect(scene.ask().refusedWith).toBe("model_unavailable");
    scene.serve(sent, "to the end");
    expect(client.text).toBe("to the end");
    expect(scene.requestsOf(mac)).toEqual([]);
    expect(scene.pool.report(scene.now, 4).machines).toMatchObject([
      { isCordoned: true, isConnected: true, blockedBy: "cordoned", inFlight: 0 },
    ]);
  });

  it("leaves the requests to the others of its pool", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const other = scene.join("mac-2");
    cordon(scene);
    scene.ask();
    scene.ask();
    expect(scene.requestsOf(mac)).toEqual([]);
    expect(scene.requestsOf(other)).toHaveLength(2);
  });

  it("is not waited for by those in line, if it is the last of its pool", () => {
    const scene = new PoolScene();
    scene.join("mac-1", { max_concurrency: 1 });
    scene.ask();
    const waiting = scene.ask();
    cordon(scene);
    expect(waiting.refusedWith).toBe("model_unavailable");
  });

  it("serves those in line as soon as it is uncordoned", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const other = scene.join("mac-2", { max_concurrency: 1 });
    cordon(scene);
    scene.ask();
    const waiting = scene.ask();
    expect(scene.requestsOf(other)).toHaveLength(1);
    cordon(scene, false);
    scene.serve(scene.requestOf(mac), "at last");
    expect(waiting.text).toBe("at last");
    expect(blockedBy(scene)).toBeNull();
  });

  it("serves its owner no more than others: nobody is to disturb who works on it", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    cordon(scene);
    const owner = { machines: new Set(["mac-1"]), otherwise: "wait", isSwitching: false } as const;
    const { refusal } = scene.ask({ owner });
    expect(refusal).toMatchObject({
      code: "machine_offline",
      message: expect.stringContaining("an operator"),
    });
    expect(scene.requestsOf(mac)).toEqual([]);
  });

  it("stays so while the pool sleeps", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    cordon(scene);
    const { scene: awake } = scene.sleep(mac);
    expect(blockedBy(awake)).toBe("cordoned");
    cordon(awake, false);
    expect(blockedBy(awake.sleep(mac).scene)).toBeNull();
  });

  it("comes back so if the fleet says so when it registers anew", () => {
    const scene = new PoolScene();
    scene.lose(scene.join("mac-1"));
    const again = scene.dial("mac-1");
    scene.register(again);
    scene.admit(again, anAdmission({ isCordoned: true, cordonAsOf: scene.now }));
    expect(blockedBy(scene)).toBe("cordoned");
    const { scene: awake } = scene.sleep(again);
    expect(blockedBy(awake)).toBe("cordoned");
  });

  it("is told from one that has failed: no request is tried on it when all others have", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const broken = scene.join("mac-2");
    cordon(scene);
    for (let i = 0; i < 3; i++) {
      scene.ask();
      for (const sent of scene.requestsOf(broken)) scene.error(sent, "fault", "engine_crashed");
    }
    scene.ask();
    expect(scene.requestsOf(mac)).toEqual([]);
  });
});

describe("of what a pool hears of a cordon, the latest word counts", () => {
  it("and not an answer to a register that was on its way when the machine was cordoned", () => {
    const scene = new PoolScene();
    const mac = scene.dial("mac-1");
    scene.register(mac);
    const admission = anAdmission({ cordonAsOf: scene.now++ });
    cordon(scene);
    scene.admit(mac, admission);
    scene.ask();
    expect(blockedBy(scene)).toBe("cordoned");
    expect(scene.requestsOf(mac)).toEqual([]);
  });

  it("and not a call that comes after a newer one, whether that began or ended it", () => {
    const scene = new PoolScene();
    scene.join("mac-1");
    for (const isCordoned of [true, false]) {
      const earlier = scene.now++;
      cordon(scene, isCordoned);
      cordon(scene, !isCordoned, earlier);
      expect(blockedBy(scene)).toBe(isCordoned ? "cordoned" : null);
    }
  });

  it("and the same one again does no harm", () => {
    const scene = new PoolScene();
    scene.join("mac-1");
    cordon(scene, true, scene.now);
    cordon(scene, true, scene.now);
    expect(blockedBy(scene)).toBe("cordoned");
  });
});

describe("a cordoned machine that has no socket", () => {
  it.each([false, true])(
    "[H19] [D11] is cordoned when it is back, be the fleet silent (pool slept: %s)",
    (hasSlept) => {
      const { scene: before, mac } = expected();
      say(before, mac, "succeeded");
      cordon(before);
      before.lose(mac);
      const [row] = before.pool.report(before.now, 4).machines;
      expect(row).toMatchObject({ isConnected: false, isCordoned: true });
      const scene = hasSlept ? before.sleep().scene : before;
      const back = scene.dial("mac-1");
      scene.register(back);
      scene.pool.fleetSilent(back.connection, scene.now);
      expect(back.socket.take("registered")).toHaveLength(1);
      scene.ask();
      expect(scene.requestsOf(back)).toEqual([]);
      expect(blockedBy(scene)).toBe("cordoned");
      cordon(scene, false);
      scene.ask();
      expect(scene.requestsOf(back)).toHaveLength(1);
      expect(scene.cordons.size).toBe(0);
    },
  );

  it("is not waited for", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    cordon(scene);
    scene.lose(mac);
    expect(scene.ask().refusedWith).toBe("model_unavailable");
  });

  it("[H19] is not waited for by a pool that starts again", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    cordon(scene);
    const { saved } = mac.socket;
    if (saved === null) throw new Error("nothing was saved");
    const { scene: awake } = scene.sleep();
    expect(awake.ask().refusedWith).toBe("model_unavailable");
    awake.pool.lostAsleep(saved, awake.now);
    expect(awake.ask().refusedWith).toBe("model_unavailable");
  });

  it("[H1] leaves nothing behind when the fleet has it forgotten", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    cordon(scene);
    scene.lose(mac);
    expect([...scene.cordons.keys()]).toEqual([MAC]);
    expect(scene.pool.orders.forget(MAC, scene.now)).toBe(true);
    expect(scene.cordons.size).toBe(0);
    scene.join("mac-1");
    expect(blockedBy(scene)).toBeNull();
  });
});
