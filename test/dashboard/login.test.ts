import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { hasBrowser, Room } from "./board.ts";

/** Who may see the fleet, and what becomes of them when the token or the connection goes. */

describe.skipIf(!hasBrowser)("the dashboard's login", () => {
  let room: Room;
  beforeAll(() => {
    room = new Room();
  });
  afterEach(() => room.closeBoards());
  afterAll(() => room.leave());

  it("says that a token is wrong, and lets the right one in, for as long as the tab lives", async () => {
    const board = await room.open({ logs: /status of 401/ });
    const { page, status } = board;
    await page.getByLabel("Admin token", { exact: true }).fill("not the admin token");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").filter({ hasText: "This is not the admin token" }).waitFor();
    expect(await page.locator("#board").isVisible()).toBe(false);
    expect(await page.evaluate(() => sessionStorage.length)).toBe(0);

    // What was wrong is selected, so that typing replaces it.
    await page.keyboard.type(room.adminToken);
    await page.keyboard.press("Enter");
    await status.filter({ hasText: /^Updated/ }).waitFor();
    await page.reload();
    await status.filter({ hasText: /^Updated/ }).waitFor();

    await board.button("Log out").click();
    await page.getByLabel("Admin token", { exact: true }).waitFor();
    await page.reload();
    await page.getByLabel("Admin token", { exact: true }).waitFor();
    expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
  });

  it("leads to the part of the page that the address names, and back to it when it is loaded anew", async () => {
    const board = await room.open();
    const { page, status } = board;
    const top = () => page.locator("#flags-title").evaluate((title) => title.getBoundingClientRect().top);
    await page.setViewportSize({ width: 1280, height: 500 });
    await page.goto(`${page.url()}#flags`);
    await board.logIn(room.adminToken);
    expect(await top()).toBeLessThan(200);
    await page.reload();
    await status.filter({ hasText: /^Updated/ }).waitFor();
    expect(await top()).toBeLessThan(200);
  });

  it("shows that it is at work, and says when nobody answers", async () => {
    const board = await room.open({ logs: /ERR_CONNECTION_REFUSED/ });
    const { page } = board;
    const asked = Promise.withResolvers<() => Promise<void>>();
    await page.route("**/v1/admin/flags", (route) => asked.resolve(() => route.abort("connectionrefused")));
    await page.getByLabel("Admin token", { exact: true }).fill(room.adminToken);
    await page.keyboard.press("Enter");
    const fail = await asked.promise;
    expect(await board.button("Logging in …").isDisabled()).toBe(true);
    await fail();
    await page.getByRole("alert").filter({ hasText: "The coordinator does not answer." }).waitFor();
    await page.unrouteAll();
    await board.button("Log in").click();
    await board.status.filter({ hasText: /^Updated/ }).waitFor();
  });
});
