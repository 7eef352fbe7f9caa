import type { Locator } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { hasBrowser, Room } from "./board.ts";

/** What operators have changed, on the page. */

describe.skipIf(!hasBrowser)("the changes on the dashboard", () => {
  let room: Room;
  beforeAll(() => {
    room = new Room();
  });
  afterEach(() => room.closeBoards());
  afterAll(() => room.leave());

  const rowWith = (part: Locator, text: string) => part.getByRole("row").filter({ hasText: text });

  it("say who has set what, and are read anew as long as they are looked at", async () => {
    await room.write("flags/queue_max", { value: "31" });
    const board = await room.enter();
    const part = await board.goToChanges();
    await rowWith(part, "→ 31").waitFor();
    await room.write("flags/queue_max", { value: "32" });
    const row = rowWith(part, "31 → 32").first();
    await board.shows(row);
    expect(await row.textContent()).toMatch(/ADMIN_TOKEN.*Set the flag queue_max.*done/);
  });

  it("have what was refused, and why", async () => {
    await expect(room.write("flags/queue_wait_ms", { value: "ages" })).rejects.toThrow("queue_wait_ms");
    const board = await room.enter();
    const part = await board.goToChanges();
    await rowWith(part, "Set the flag queue_wait_ms")
      .filter({ hasText: "invalid_request" })
      .first()
      .waitFor();
  });

  it("are found by what is in them, and the older ones on request", async () => {
    const mark = "sought-owner";
    for (let n = 0; n < 52; n += 1) await room.admin.createKey(mark, `key-${n}`);
    const board = await room.enter();
    const part = await board.goToChanges();
    const search = part.getByRole("searchbox", { name: "Filter changes" });
    const found = board.page.waitForResponse((response) => response.url().includes("about=SOUGHT-owner"));
    await search.fill("SOUGHT-owner");
    await found;
    await rowWith(part, "name key-51").waitFor();
    const rows = part.getByRole("rowheader");
    await expect.poll(() => rows.count()).toBe(50);
    await board.button("Read older ones", part).click();
    await rowWith(part, "name key-0").waitFor();
    expect(await rows.count()).toBe(52);
    expect(await board.button("Read older ones", part).isVisible()).toBe(false);
    await board.button("Refresh").click();
    await search.fill("nothing has this in it");
    await part.getByText("No change matches the filter.").waitFor();
    expect(await rows.count()).toBe(0);
  });

  it("stay where they are: the keys above them are not read by the way", async () => {
    const board = await room.open();
    const { page } = board;
    const readings = board.countReadings(/\/admin\/(keys|provider-tokens)/);
    await page.setViewportSize({ width: 1280, height: 400 });
    await board.logIn(room.adminToken);
    const part = await board.goToChanges();
    // Not by a click, before which the test's browser would scroll.
    await board.button("Refresh").dispatchEvent("click");
    await page.waitForTimeout(300);
    expect(await part.evaluate((section) => section.getBoundingClientRect().top)).toBeLessThan(120);
    expect(readings()).toBe(0);
  });

  it("are not read while nobody looks at them", async () => {
    const board = await room.open();
    const readings = board.countReadings(/\/admin\/audit/);
    await board.logInAtTop(room.adminToken);
    expect(readings()).toBe(0);
    await board.goToChanges();
    expect(readings()).toBeGreaterThan(0);
  });
});
