import { describe, expect, it } from "vitest";

import { ApiError } from "../../../dashboard/api-error.js";
import {
  choicesFor,
  doneSentence,
  orderWarning,
  pinnedSentence,
  progressOf,
  refusalOf,
} from "../../../dashboard/machine-orders.js";
import type { MachineDetails } from "../../../dashboard/snapshot.js";
import { aMachine } from "./snapshot-scene.ts";

/** Which orders a machine's dialog offers, and what it says of one that was given. */

type OrderOf = NonNullable<MachineDetails["order"]>;

const anOrder = (fields: Partial<OrderOf> = {}): OrderOf => ({
  reason: "pinned",
  phase: "done",
  outcome: "succeeded",
  error: null,
  waiting_for: [],
  pinned: true,
  ...fields,
});

const details = (fields: Partial<MachineDetails> = {}): MachineDetails => ({
  ...aMachine(),
  stays_because: null,
  version: "0.7.0",
  models: ["a", "b", "not-in-the-catalog"],
  quarantined: false,
  private_only: false,
  unreachable_pools: [],
  order: anOrder(),
  ...fields,
});

const because = (unmanaged_because: string | null) => ({
  explanation: { gate: null, why: "it is idle", fix: null, unmanaged_because },
});

it("that an order is done does not hide that a pool has not heard of it", () => {
  expect(doneSentence("uncordon", [])).toBe("Uncordoned: requests may come again.");
  expect(doneSentence("cordon", ["a", "b"])).toBe(
    "Cordoned: it gets no new requests, and placement leaves it alone. " +
      "No answer yet from a, b: what it says holds there from the next tick on.",
  );
});

describe("the orders that a machine is offered", () => {
  it("are models of the catalog on its disk, and the ways back from where it is", () => {
    expect(choicesFor(details(), ["b", "a", "c"])).toEqual({
      models: ["a", "b"],
      obstacle: "",
      orders: ["unpin", "release", "cordon", "quarantine"],
    });
  });

  it("leave out what would change nothing", () => {
    const orders = (fields: Partial<MachineDetails>) => choicesFor(details(fields), ["a"]).orders;
    expect(orders({ order: anOrder({ pinned: false }) })).toEqual(["release", "cordon", "quarantine"]);
    expect(orders({ assigned_model: null })).toEqual(["cordon", "quarantine"]);
    expect(orders({ assigned_model: null, cordoned: true })).toEqual(["uncordon", "quarantine"]);
    expect(orders({ assigned_model: null, order: null, quarantined: true })).toEqual(["readmit"]);
    expect(orders({ assigned_model: null, quarantined: true, cordoned: true })).toEqual([
      "uncordon",
      "readmit",
    ]);
  });

  it("have a removal among them only while the machine is not connected", () => {
    expect(choicesFor(details({ state: "offline" }), ["a"]).orders).toContain("remove");
    for (const state of ["assigned", "unmanaged", "expected", "failed"] as const) {
      expect(choicesFor(details({ state }), ["a"]).orders).not.toContain("remove");
    }
  });

  it("say why it can be assigned nothing", () => {
    expect(choicesFor(details(), ["c"]).obstacle).toBe("No model of the catalog is on its disk.");
    expect(choicesFor(details(because("the machine is quarantined")), ["a"]).obstacle).toBe(
      "It takes no orders: the machine is quarantined.",
    );
  });

  it("do not ask before what can be taken back from here", () => {
    for (const order of ["unpin", "release", "cordon", "uncordon", "readmit"] as const) {
      expect(orderWarning(order, details())).toBeNull();
    }
  });

  it("ask before a quarantine, which only somebody at the machine can undo", () => {
    expect(orderWarning("quarantine", details({ in_flight: 2 }))?.text).toContain(
      "It serves 2 requests now.",
    );
    expect(orderWarning("quarantine", details({ in_flight: 0 }))?.text).not.toContain("It serves");
  });

  it("ask before a removal, and say what goes with the machine", () => {
    const asked = (fields: Partial<MachineDetails>) => orderWarning("remove", details(fields));
    expect(asked({})?.title).toBe("Remove mac-1?");
    expect(asked({})?.text).toContain("Its assignment to a ends, and its pin with it.");
    expect(asked({ order: anOrder({ pinned: false }) })?.text).toContain("Its assignment to a ends. ");
    expect(asked({ assigned_model: null, order: null })?.text).not.toContain("assignment");
    expect(asked({ cordoned: true })?.text).toContain("not cordoned any more");
    expect(asked({})?.text).not.toContain("cordoned");
    expect(asked({ quarantined: true })?.text).toContain("quarantine is forgotten");
    expect(asked({})?.text).not.toContain("quarantine");
    expect(asked({})?.text).toContain("Its id becomes free");
  });
});

describe("how an order is getting on", () => {
  const why = (text: string) => ({
    explanation: { gate: "loading", why: text, fix: null, unmanaged_because: null },
  });

  it.each([
    ["The order is accepted.", details({ epoch: 7 })],
    [
      'It is loading "b" (40 %).',
      details({ epoch: 8, order: anOrder({ outcome: null }), ...why('it is loading "b" (40 %)') }),
    ],
    ["It is being released.", details({ epoch: 8, assigned_model: null, order: anOrder({ outcome: null }) })],
    ["Done: it serves b.", details({ epoch: 8, assigned_model: "b" })],
    ["Done: it is assigned to nothing.", details({ epoch: 8, assigned_model: null })],
    ["A newer order (epoch 9) has overtaken it.", details({ epoch: 9 })],
  ])("%s", (said, machine) => {
    expect(progressOf(machine, 8)).toBe(said);
  });

  it("says why it failed and what would help", () => {
    const machine = details({
      epoch: 8,
      order: anOrder({ outcome: "failed", error: "not enough memory" }),
      explanation: {
        gate: "failed",
        why: "it failed",
        fix: "ask for a smaller model",
        unmanaged_because: null,
      },
    });
    expect(progressOf(machine, 8)).toBe("Failed: not enough memory. Ask for a smaller model.");
  });

  it("says of a refusal where the gate is", () => {
    expect(refusalOf(new ApiError("the gate is off", { code: "gate_off" }))).toBe(
      "The gate is off. It is in the part Flags of this page.",
    );
    expect(refusalOf(new ApiError("it is too old", { code: "machine_not_assignable" }))).toBe(
      "It is too old.",
    );
  });
});

it("says what came of assigning a model: an order, a pin, or nothing", () => {
  const before = details({ epoch: 7 });
  expect(pinnedSentence(before, "a", 8)).toBe("The order is accepted.");
  expect(pinnedSentence(before, "a", 7)).toBe("Nothing to do: it is assigned to a already.");
  const placed = details({ epoch: 7, order: anOrder({ reason: "demand", pinned: false }) });
  expect(pinnedSentence(placed, "a", 7)).toContain("It is pinned now");
});
