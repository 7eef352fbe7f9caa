import { describe, expect, it } from "vitest";

import { REFUSED_DIAL_MS, REFUSED_DIALS_MAX, RefusedDials } from "../../../../core/fleet/refused-dials.ts";
import { machineIdSchema, modelIdSchema } from "../../../../protocol/ids.ts";
import { A, FleetScene, MAC } from "./fleet-scene.ts";

const mac = (name: string) => machineIdSchema.parse(name);
const X = modelIdSchema.parse("x");
const Y = modelIdSchema.parse("y");
const dialer = (name: string) => ({ machineId: mac(name), owner: "acme", tokenId: "t1" });
const nowhere = (): boolean => false;

describe("dials to models that are in no catalog", () => {
  it("are listed with who wanted what, the latest first, each pair once", () => {
    const dials = new RefusedDials();
    dials.note(dialer("mac-a"), X, 1);
    dials.note(dialer("mac-b"), X, 2);
    dials.note(dialer("mac-a"), Y, 3);
    dials.note(dialer("mac-a"), X, 4);
    expect(dials.list(nowhere, 5)).toEqual([
      { machineId: "mac-a", owner: "acme", model: X, at: 4 },
      { machineId: "mac-a", owner: "acme", model: Y, at: 3 },
      { machineId: "mac-b", owner: "acme", model: X, at: 2 },
    ]);
  });

  it("are forgotten after ten minutes, with the model's entry, and with a pool that takes the machine", () => {
    const dials = new RefusedDials();
    dials.note(dialer("mac-a"), X, 0);
    dials.note(dialer("mac-b"), X, 1);
    dials.note(dialer("mac-b"), Y, 1);
    expect(dials.list(nowhere, REFUSED_DIAL_MS).map(({ machineId }) => machineId)).toEqual([
      "mac-b",
      "mac-b",
    ]);
    expect(dials.list((model) => model === Y, 2).map(({ model }) => model)).toEqual([X, X]);
    dials.forget(mac("mac-b"));
    expect(dials.list(nowhere, 2)).toMatchObject([{ machineId: "mac-a" }]);
  });

  it("push the oldest out where there are too many", () => {
    const dials = new RefusedDials();
    for (let i = 0; i <= REFUSED_DIALS_MAX; i += 1) dials.note(dialer(`mac-${i}`), X, i);
    const listed = dials.list(nowhere, REFUSED_DIALS_MAX).map(({ machineId }) => machineId);
    expect(listed).toHaveLength(REFUSED_DIALS_MAX);
    expect(listed.at(-1)).toBe("mac-1");
  });

  it("say nothing of a machine under the id of another owner's", () => {
    const scene = new FleetScene();
    scene.join(A);
    const stranger = { machineId: MAC, owner: "stranger", tokenId: "t2" };
    scene.core.refusedDial(stranger, X, scene.now);
    expect(scene.core.refusedDials(scene.now)).toEqual([]);
    scene.core.refusedDial({ ...stranger, machineId: mac("its-own") }, X, scene.now);
    expect(scene.core.refusedDials(scene.now)).toMatchObject([{ owner: "stranger", model: X }]);
  });
});
