import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";

import type { FlagName } from "../../core/flags.ts";
import { hasBrowser, Room } from "./board.ts";

/** Flags on the page. */

describe.skipIf(!hasBrowser)("a flag on the dashboard", () => {
  let room: Room;
  beforeAll(() => {
    room = new Room();
  });
  beforeEach(async () => {
    await room.admin.setFlag("queue_max", "32");
    await room.admin.setFlag("assignment_gate", "off");
  });
  afterEach(() => room.closeBoards());
  afterAll(() => room.leave());

  async function inForce(name: FlagName): Promise<string | undefined> {
    const { flags } = await room.read<{ flags: { name: string; value: string }[] }>("flags");
    return flags.find((flag) => flag.name === name)?.value;
  }

  it("is set, and back to what it was at first", async () => {
    await room.admin.setFlag("placement", "shadow");
    const board = await room.enter();
    expect(await board.page.getByLabel("New value of placement", { exact: true }).inputValue()).toBe(
      "shadow",
    );
    await room.admin.setFlag("placement", "off");
    const line = board.row("Flags", "queue_max");
    const field = line.getByLabel("New value of queue_max");
    await field.fill("64");
    await board.button("Set", line).click();
    await line.getByRole("status").filter({ hasText: "Set to 64." }).waitFor();
    expect(await inForce("queue_max")).toBe("64");
    await line.getByRole("cell", { name: "64", exact: true }).waitFor();
    await board.button("Reset to 32", line).click();
    await line.getByRole("status").filter({ hasText: "Set to 32." }).waitFor();
    expect(await inForce("queue_max")).toBe("32");
    await board.button("Reset to 32", line).waitFor({ state: "hidden" });
  });

  it("keeps its value when it is given a wrong one, which is marked and explained", async () => {
    const board = await room.enter({ logs: /status of 400/ });
    const line = board.row("Flags", "queue_max");
    const field = line.getByLabel("New value of queue_max");
    await field.fill("many");
    await field.press("Enter");
    await line
      .getByRole("status")
      .filter({ hasText: /^Must be .*\.$/ })
      .waitFor();
    expect(await field.getAttribute("aria-invalid")).toBe("true");
    expect(await inForce("queue_max")).toBe("32");
    // Neither a new reading nor another flag takes away what somebody is typing.
    await board.button("Refresh").click();
    await board.button("Refresh").click();
    expect(await field.inputValue()).toBe("many");
    await field.fill("33");
    await field.press("Enter");
    await line.getByRole("status").filter({ hasText: "Set to 33." }).waitFor();
    expect(await field.getAttribute("aria-invalid")).toBe("false");
  });

  it("asks before it moves machines, and without it no order can be given", async () => {
    await room.addModels("gated");
    await room.addPuppet("mac-gated", ["gated"]);
    const board = await room.enter({ logs: /status of 400/ });
    const dialog = await board.openMachine("mac-gated");
    await board.button("Assign", dialog).click();
    await dialog.getByRole("status").filter({ hasText: "It is in the part Flags of this page." }).waitFor();
    await board.button("Close", dialog).click();

    const line = board.row("Flags", "assignment_gate");
    await line.getByLabel("New value of assignment_gate").selectOption("on");
    await board.button("Set", line).click();
    await board.question.getByText("Switch the assignment gate on?").waitFor();
    await board.button("Cancel", board.question).click();
    expect(await inForce("assignment_gate")).toBe("off");
    await board.button("Set", line).click();
    await board.button("Switch on", board.question).click();
    await line.getByRole("status").filter({ hasText: "Set to on." }).waitFor();
    expect(await inForce("assignment_gate")).toBe("on");
    await board.openMachine("mac-gated");
    await board.button("Assign", dialog).click();
    // What it says is that the order is accepted, or already what has become of it.
    await dialog.getByRole("status").filter({ hasText: /./ }).waitFor();
    expect(await room.read("machines/mac-gated")).toMatchObject({ assigned_model: "gated" });
  });
});
