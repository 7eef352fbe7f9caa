import { describe, expect, it } from "vitest";

import { machineIdSchema } from "../../../../protocol/ids.ts";
import { anAdmission, PoolScene } from "./pool-scene.ts";

/** Machines that an operator keeps requests away from, as their pool treats them. */

const MAC = machineIdSchema.parse("mac-1");

function cordon(scene: PoolScene, isCordoned = true): void {
  scene.pool.cordon(MAC, isCordoned, scene.now);
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
    expect(scene.ask({ owner }).refusedWith).toBe("machine_offline");
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
    scene.admit(again, anAdmission({ isCordoned: true }));
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
