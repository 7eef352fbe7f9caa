import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { Stack } from "../end-to-end/stack.ts";
import { hasBrowser, Room } from "./board.ts";

/** The page without its coordinator, and after one has come back that does not know its token. */

describe.skipIf(!hasBrowser)("the dashboard", () => {
  let stack: Stack;
  let room: Room;
  beforeAll(async () => {
    stack = new Stack();
    await stack.startCoordinator();
    room = new Room(stack);
    await room.addModels("kept");
    await room.addPuppet("mac-gone", ["kept"]);
  });
  afterEach(() => room.closeBoards());
  afterAll(() => room.leave());

  it("says that the connection is gone, keeps what it read, and goes on by itself", async () => {
    const board = await room.enter({ logs: /net::ERR_/ });
    const problem = board.page.getByRole("alert");
    await board.context.setOffline(true);
    await board.button("Refresh").click();
    await problem
      .filter({ hasText: /^The coordinator does not answer\. What is shown is as of \d\d:\d\d:\d\d\.$/ })
      .waitFor();
    await board.status.filter({ hasText: /^Stale/ }).waitFor();
    await board.row("Pools", "kept").waitFor();

    const line = board.row("Flags", "queue_max");
    await line.getByLabel("New value of queue_max").fill("64");
    await board.button("Set", line).click();
    await line
      .getByRole("status")
      .filter({ hasText: "No answer: it may have been done all the same." })
      .waitFor();

    await board.context.setOffline(false);
    await board.status.filter({ hasText: /^Updated/ }).waitFor();
    await problem.waitFor({ state: "hidden" });
    expect(await line.getByLabel("New value of queue_max").inputValue()).toBe("64");
  });

  it("says what it waits for until it has read the fleet for the first time, and what went wrong instead", async () => {
    const board = await room.open({ logs: /status of 503/ });
    const { page } = board;
    const reading = page.getByText("Reading the fleet. Each pool is asked");
    let answer = (): void => undefined;
    await page.route("**/v1/admin/utilization", async (route) => {
      await new Promise<void>((resolve) => (answer = resolve));
      await route.fulfill({
        status: 503,
        json: { error: { message: "try again", code: "try_again", param: null } },
      });
    });
    await page.getByLabel("Admin token", { exact: true }).fill(room.adminToken);
    await board.button("Log in").click();
    await reading.waitFor();
    answer();
    await page.getByRole("alert").filter({ hasText: "Try again." }).waitFor();
    expect(await reading.isVisible()).toBe(false);
    await page.unroute("**/v1/admin/utilization");
    await board.button("Refresh").click();
    await board.row("Pools", "kept").waitFor();
    expect(await reading.isVisible()).toBe(false);
  });

  it("asks for the new token when its own is refused, and is then as it was before", async () => {
    const board = await room.enter({ logs: /net::ERR_|status of 401/ });
    const { page } = board;
    await board.row("Flags", "queue_max").getByLabel("New value of queue_max").fill("77");
    const dialog = await board.openMachine("mac-gone");

    await stack.killCoordinator();
    await board.button("Refresh").dispatchEvent("click");
    await page.getByRole("alert").filter({ hasText: "The coordinator does not answer" }).first().waitFor();
    changeToken();
    forgetThatItHasJustRegistered("mac-gone");
    await stack.startCoordinator();
    await page.getByRole("alert").filter({ hasText: "This is not the admin token" }).waitFor();
    expect(await dialog.isVisible()).toBe(false);
    expect(await page.evaluate(() => sessionStorage.length)).toBe(0);

    await board.logIn(stack.dev.admin_token);
    await dialog.waitFor();
    expect(await page.getByLabel("New value of queue_max").inputValue()).toBe("77");

    await board.button("Remove", dialog).click();
    await board.question.getByText("It is forgotten.").waitFor();
    await board.button("Remove", board.question).click();
    await page.getByText("mac-gone is removed.").waitFor();
    await dialog.waitFor({ state: "hidden" });
    await board.row("Machines", "mac-gone").waitFor({ state: "detached" });
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("machines-title");
    expect(await room.read("machines/mac-gone")).toMatchObject({ error: { code: "not_found" } });
  });

  function changeToken(): void {
    const file = join(stack.dir, "local.json");
    const secrets = JSON.parse(readFileSync(file, "utf8")) as object;
    writeFileSync(file, JSON.stringify({ ...secrets, admin_token: "another-admin-token" }));
  }

  /** A machine counts as connected for a minute after its register, whatever has become of it. */
  function forgetThatItHasJustRegistered(machineId: string): void {
    const [file = ""] = globSync(join(stack.dir, "storage/do/poolkeeper-Fleet/*.sqlite"), {
      exclude: (path) => path.endsWith("metadata.sqlite"),
    });
    const database = new DatabaseSync(file);
    database.prepare("UPDATE machines SET registered_at = 0 WHERE machine_id = ?").run(machineId);
    database.close();
  }
});
