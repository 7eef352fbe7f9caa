import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { Stack } from "../end-to-end/stack.ts";
import { hasBrowser, Room } from "./board.ts";

/** The planner on the page: what it would do if things were otherwise. */

describe.skipIf(!hasBrowser)("what if, on the dashboard", () => {
  let room: Room;
  const directory = mkdtempSync(join(tmpdir(), "poolkeeper-replay-"));
  afterAll(() => rmSync(directory, { recursive: true }));
  beforeAll(async () => {
    // Its own coordinator: when the machines of other files leave one, its planner moves nothing for a while.
    const stack = new Stack();
    await stack.startCoordinator();
    room = new Room(stack);
    await room.addModels("plan-a", "plan-b");
    for (const id of ["mac-plan-one", "mac-plan-two"]) await room.addPuppet(id, ["plan-a", "plan-b"]);
  });
  afterEach(() => room.closeBoards());
  afterAll(() => room.leave());

  it("shows a plan with its reasons and changes nothing, and says what of the question is wrong", async () => {
    const board = await room.enter({ logs: /status of 400/ });
    const { page } = board;
    await page.locator("#refused").waitFor({ state: "hidden" });
    const before = await room.read("machines/mac-plan-one");
    await page.getByText("What if …").click();
    const form = page.getByRole("form", { name: "What if …" });
    const demand = form.getByLabel("Requests/s of plan-b instead");
    const report = form.getByRole("status");
    await demand.fill("many");
    await board.button("Ask the planner", form).click();
    await report.filter({ hasText: '"many" is no number.' }).waitFor();
    expect(await demand.getAttribute("aria-invalid")).toBe("true");
    await demand.fill("-3");
    await board.button("Ask the planner", form).click();
    await report.filter({ hasText: /^Demand of plan-b.*\.$/ }).waitFor();
    expect(await demand.getAttribute("aria-invalid")).toBe("true");

    await demand.fill("50");
    await form.getByLabel("Moves of one tick").fill("9");
    await board.button("Ask the planner", form).click();
    await report
      .filter({ hasText: /^It would move \d+ machines? and leave \d+\. Nothing was changed\.$/ })
      .waitFor();
    expect(await demand.getAttribute("aria-invalid")).toBe("false");
    const moves = page.getByRole("table", { name: "Moves that it would make" }).getByRole("row");
    await moves
      .filter({ hasText: /mac-plan-\w+.*→ plan-b.*it serves more requests there|its pool has demand/ })
      .first()
      .waitFor();
    const needs = page.getByRole("table", { name: "What each model would need" }).getByRole("row");
    await needs.filter({ hasText: /^plan-b50/ }).waitFor();
    expect(await room.read("machines/mac-plan-one")).toMatchObject({
      assigned_model: (before as { assigned_model: string | null }).assigned_model,
    });

    await board.button("Clear", form).click();
    expect(await demand.inputValue()).toBe("");
    await needs.first().waitFor({ state: "hidden" });
  });

  it("saves a day for the simulator, and says why there is none yet", async () => {
    const board = await room.enter({ logs: /status of 404/ });
    const { page } = board;
    await page.getByText("Replay a day").click();
    const report = page.getByRole("form", { name: "Replay a day" }).getByRole("status");
    await board.button("Save fleet.json").click();
    await report.filter({ hasText: /^Nothing was asked/ }).waitFor();
    await page.getByLabel("Days up to now").selectOption("2");
    const [file] = await Promise.all([
      page.waitForEvent("download"),
      board.button("Save demand.csv").click(),
    ]);
    expect(file.suggestedFilename()).toBe("demand.csv");
    const saved = join(directory, "demand.csv");
    await file.saveAs(saved);
    const headers = { authorization: `Bearer ${room.adminToken}` };
    const given = await fetch(`${room.machines.url}/v1/admin/demand?days=2`, { headers });
    expect(readFileSync(saved, "utf8")).toBe(await given.text());
    expect(readFileSync(saved, "utf8")).toMatch(/^t_s,model,n,/);
    await report.filter({ hasText: "demand.csv is saved." }).waitFor();
  });
});
