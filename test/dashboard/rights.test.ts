import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { type Board, hasBrowser, Room } from "./board.ts";

/** Named admin tokens on the page: how one is made and ended there, and what the page is with one that may only read. */

interface Tokens {
  readonly admin_tokens: readonly { readonly id: string; readonly name: string; readonly scope: string }[];
}

describe.skipIf(!hasBrowser)("an admin token on the dashboard", () => {
  let room: Room;
  beforeAll(async () => {
    room = new Room();
    await room.addModels("watched");
    await room.addPuppet("mac-watched", ["watched"]);
    await room.admin.createKey("watched-owner", "watched-key");
  });
  afterEach(() => room.closeBoards());
  afterAll(() => room.leave());

  const tokenNamed = async (name: string) =>
    (await room.read<Tokens>("admin-tokens")).admin_tokens.find((token) => token.name === name);

  /** Makes one on the page. @returns its secret */
  async function make(board: Board, name: string, scope: string): Promise<string> {
    await board.goToKeys();
    await board.button("Make an admin token").click();
    const dialog = board.dialog("Make an admin token");
    expect(await dialog.getByLabel(/^Owner/).isVisible()).toBe(false);
    await dialog.getByLabel(/^Name/).fill(name);
    await dialog.getByLabel("May").selectOption({ label: scope });
    await board.button("Make the token", dialog).click();
    const shown = board.dialog(`The admin token ${name}`);
    await shown.getByText("It is shown this once.").waitFor();
    const secret = (await shown.getByLabel("The secret").textContent()) ?? "";
    expect(await shown.getByLabel("The command").textContent()).toContain(secret);
    await board.button("Close", shown).click();
    return secret;
  }

  it("is made, opens the page, is shown in the changes, and ends", async () => {
    const board = await room.enter();
    const secret = await make(board, "anna", "change everything");
    expect(await tokenNamed("anna")).toMatchObject({ scope: "admin" });

    const hers = await room.open({ logs: /status of 401/ });
    await hers.logIn(secret);
    expect(await hers.page.locator("#rights").isVisible()).toBe(false);
    const flag = hers.row("Flags", "queue_wait_ms");
    await flag.getByLabel("New value of queue_wait_ms").fill("5998");
    await hers.button("Set", flag).click();
    await flag.getByRole("status").filter({ hasText: /./ }).waitFor();
    const changes = await hers.goToChanges();
    await changes.getByRole("row").filter({ hasText: "anna" }).filter({ hasText: "→ 5998" }).waitFor();

    await board.goToKeys();
    await board.button("anna", board.page.locator("#keys")).click();
    const dialog = board.dialog("Admin token anna");
    await dialog.getByText("change everything").waitFor();
    await board.button("Revoke", dialog).click();
    await board.button("Revoke", board.question).click();
    await board.page.locator("#keys-report").filter({ hasText: "anna is revoked" }).waitFor();
    expect(await tokenNamed("anna")).toBeUndefined();
    await hers.button("Refresh").click();
    await hers.page.getByRole("alert").filter({ hasText: "Was it revoked?" }).waitFor();
    await room.write("flags/queue_wait_ms", { value: "6000" });
  });

  it("that may only read shows everything, and what would change something is closed", async () => {
    const owner = await room.enter();
    const secret = await make(owner, "grafana", "only read");
    const board = await room.open();
    const { page } = board;
    await board.logIn(secret);
    await page.getByText("The token grafana may only read: what would change something is closed.").waitFor();

    await board.row("Machines", "mac-watched").waitFor();
    await board.button("mac-watched", page.locator("#machines")).click();
    const machine = board.dialog("mac-watched");
    await machine.getByText("On its disk", { exact: true }).waitFor();
    expect(await machine.getByRole("button").allTextContents()).toEqual(["Close"]);
    await board.button("Close", machine).click();

    await board.button("watched", page.locator("#pools")).click();
    const model = board.dialog("watched");
    const context = model.getByLabel(/^Context/);
    await expect.poll(() => context.inputValue()).toBe("1024");
    expect(await context.isDisabled()).toBe(true);
    expect(await board.button("Save", model).isVisible()).toBe(false);
    await board.button("Close", model).click();

    const flag = board.row("Flags", "queue_max");
    expect(await flag.getByLabel("New value of queue_max").isDisabled()).toBe(true);
    expect(await board.button("Set", flag).isDisabled()).toBe(true);

    const keys = await board.goToKeys();
    for (const name of ["Make a key", "Make a token", "Make an admin token", "Add a model"]) {
      expect(await board.button(name).isVisible()).toBe(false);
    }
    await board.button("watched-key", keys).click();
    const key = board.dialog("Key watched-key");
    await key.getByText("watched-owner").waitFor();
    expect(await board.button("Revoke", key).isVisible()).toBe(false);
    await board.button("Close", key).click();

    await page.getByText("What if …").click();
    await board.button("Ask the planner").click();
    await page.locator("#what-if-answer").waitFor();
  });

  it("leaves the page as it was before to the next who logs in there", async () => {
    const owner = await room.enter();
    const secret = await make(owner, "passing", "only read");
    const board = await room.open({ logs: /status of 401/ });
    await board.logIn(secret);
    const set = board.button("Set", board.row("Flags", "queue_max"));
    expect(await set.isDisabled()).toBe(true);
    // The same page, whose token the coordinator does not know any more.
    await board.page.route("**/v1/admin/**", (route) => route.fulfill({ status: 401, json: {} }));
    await board.button("Refresh").click();
    await board.page.getByLabel("Admin token", { exact: true }).waitFor();
    await board.page.unrouteAll();
    await board.logIn(room.adminToken);
    await expect.poll(() => set.isDisabled()).toBe(false);
    expect(await board.button("Add a model").isVisible()).toBe(true);
    expect(await board.page.locator("#rights").isVisible()).toBe(false);
  });
});
