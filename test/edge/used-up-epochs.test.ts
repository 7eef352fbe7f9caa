import { expect, it, vi } from "vitest";

import type { Utilization } from "../../core/fleet/utilization.ts";
import { MAX_EPOCH } from "../../protocol/ids.ts";
import { connect, registerMessage, type FakeProvider } from "./fake-provider.ts";
import {
  adminCall,
  callAdmin,
  errorOf,
  fleet,
  pin,
  resetObject,
  rowsOf,
  scene,
  setFlag,
  unique,
  until,
  type Scene,
} from "./scene.ts";

it("[H9] one machine that can be given no order keeps no other from its own, and is reported", async () => {
  await setFlag("assignment_gate", "on");
  const [at, left] = [await scene(), await scene()];
  // In the order in which the fleet goes through them.
  const ids = [unique("mac-1"), unique("mac-2")] as const;
  const [deaf] = [await assigned(at, ids[0]), await assigned(at, ids[1])];
  await rowsOf(fleet(), "UPDATE intents SET epoch = ? WHERE machine_id = ?", MAX_EPOCH, ids[0]);
  await resetObject(fleet());
  const logged = vi.spyOn(console, "error").mockImplementation(() => undefined);

  expect((await callAdmin("DELETE", `/catalog/${left.model}`)).status).toBe(200);
  expect(await setFlag("assignment_gate", "off")).toMatchObject({
    value: "off",
    not_released: [ids[0]],
  });
  // What another flag changes has nothing to do with it.
  expect(await setFlag("queue_max", "32")).not.toHaveProperty("not_released");
  const { machines } = (await adminCall<Utilization>("GET", "/utilization")).model_pools;
  expect(ids.map((id) => machines.find((row) => row.machine_id === id))).toMatchObject([
    {
      managed: true,
      assigned_model: at.model,
      explanation: { unmanaged_because: expect.stringContaining("used up") as string },
    },
    { managed: false, assigned_model: null, explanation: { unmanaged_because: null } },
  ]);
  expect(logged).toHaveBeenCalledWith({
    event: "epochs_used_up",
    machineId: ids[0],
    order: "the flag assignment_gate is off",
  });
  expect(await errorOf(await callAdmin("POST", `/machines/${ids[0]}/release`))).toMatchObject({
    status: 400,
    code: "machine_not_assignable",
  });

  expect((await callAdmin("DELETE", `/catalog/${at.model}?force=true`)).status).toBe(200);
  expect((await callAdmin("POST", `/machines/${ids[0]}/quarantine`)).status).toBe(202);
  expect((await deaf.closed).code).toBe(4005);
  expect(await setFlag("assignment_gate", "off")).not.toHaveProperty("not_released");
  logged.mockRestore();
});

/** A machine that serves the model by order. */
async function assigned(at: Scene, machineId: string): Promise<FakeProvider> {
  const machine = await connect(at, machineId);
  machine.send(registerMessage(machineId, [at.model]));
  await machine.next("registered");
  const { epoch } = await pin(machineId, at);
  machine.send({ type: "assign_model_status", model_id: at.model, epoch, status: "succeeded" });
  await until(async () => {
    const { state } = await adminCall<{ state: string }>("GET", `/machines/${machineId}`);
    return state === "assigned";
  });
  return machine;
}
