import type { Locator } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { hasBrowser, Room } from "./board.ts";
import { focused, overflowing, pale, usable } from "./look.ts";

/** Whether the page can be read on a phone, in the dark, and used without a mouse. */

/** As long as the coordinator takes them, with nowhere to break. */
const MODEL = "m".repeat(128);
const MACHINE = "n".repeat(64);
const CHIP = "C".repeat(256);
const OWNER = "w".repeat(128);
const LABEL = "k".repeat(128);

/** A small and a usual phone, and the narrowest windows of the two wider layouts. */
const WIDTHS = [320, 375, 661, 901];

describe.skipIf(!hasBrowser)("the dashboard", () => {
  let room: Room;
  beforeAll(async () => {
    room = new Room();
    await room.addModels(MODEL, "shown");
    await room.addPuppet(MACHINE, [MODEL], { hardware: { chip_name: CHIP } });
    await room.addPuppet("mac-shown", ["shown"]);
    await expect(room.addPuppet(`${"o".repeat(60)}-t1`, ["t".repeat(128)])).rejects.toThrow("404");
    await room.admin.createKey(OWNER, LABEL);
    await room.admin.createProviderToken(OWNER, LABEL);
    await room.admin.createKey("looker", "looked-at");
  });
  afterEach(() => room.closeBoards());
  afterAll(() => room.leave());

  it("fits into narrow windows, with the longest names", async () => {
    const board = await room.open();
    const { page } = board;
    const resize = (width: number) => page.setViewportSize({ width, height: 900 });
    await resize(320);
    expect(await overflowing(page)).toEqual([]);
    await board.logIn(room.adminToken);
    await board.row("Machines", MACHINE).waitFor();
    await board.row("Turned away", "t".repeat(128)).waitFor();
    for (const words of await page.getByText("What the words mean").all()) await words.click();
    await page.getByText("Replay a day").click();
    await page.getByText("What if …").click();
    await page.getByLabel(`Choose ${MACHINE}`).check();
    await page.getByLabel("Model for all of them").waitFor();
    for (const width of WIDTHS) {
      await resize(width);
      expect(await overflowing(page)).toEqual([]);
      const picture = await board.row("Pools", "shown").locator(".track").boundingBox();
      const cell = await board.row("Pools", "shown").locator("td.wide").boundingBox();
      expect((picture?.x ?? 0) - (cell?.x ?? 0)).toBeLessThan(3);
      for (const [part, name, verb] of [
        ["pools", MODEL, "Remove"],
        ["machines", MACHINE, "Quarantine"],
      ] as const) {
        await board.button(name, page.locator(`#${part}`)).click();
        const dialog = board.dialog(name);
        // A model's dialog is longest with all about its sale.
        if (part === "pools") await dialog.getByLabel("Sell it through OpenRouter").check();
        expect(await overflowing(page)).toEqual([]);
        await board.button(verb, dialog).click();
        await board.question.waitFor();
        expect(await overflowing(page)).toEqual([]);
        await page.keyboard.press("Escape");
        await page.keyboard.press("Escape");
        await dialog.waitFor({ state: "hidden" });
      }
    }
  });

  it("fits keys and what is shown of them into narrow windows", async () => {
    const board = await room.enter();
    const { page } = board;
    await board.goToKeys();
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 900 });
      expect(await overflowing(page)).toEqual([]);
      for (const [table, title] of [
        ["API keys", "Key"],
        ["Provider tokens", "Token"],
      ] as const) {
        await board
          .button(LABEL, page.getByRole("table", { name: table }))
          .first()
          .click();
        const dialog = board.dialog(`${title} ${LABEL}`);
        await board.button("Revoke", dialog).click();
        await board.question.waitFor();
        expect(await overflowing(page)).toEqual([]);
        await page.keyboard.press("Escape");
        await page.keyboard.press("Escape");
        await dialog.waitFor({ state: "hidden" });
      }
      for (const kind of ["key", "token"]) {
        await board.button(`Make a ${kind}`).click();
        await page.getByLabel(/^Owner,/).fill(OWNER);
        await page.getByLabel(/^Name,/).fill(LABEL);
        expect(await overflowing(page)).toEqual([]);
        await board.button(`Make the ${kind}`).click();
        const shown = board.dialog(`The ${kind} ${LABEL} of ${OWNER}`);
        await shown.waitFor();
        expect(await overflowing(page)).toEqual([]);
        await board.button("Close", shown).click();
      }
    }
  });

  it.each(["light", "dark"] as const)(
    "can be read in %s colours where it is about keys",
    async (colorScheme) => {
      const board = await room.enter();
      const { page } = board;
      await page.emulateMedia({ colorScheme });
      await board.goToKeys();
      expect(await pale(page)).toEqual([]);
      await board.button("looked-at", page.locator("#keys")).click();
      await board.dialog("Key looked-at").getByLabel("Requests a minute").fill("many");
      await board.button("Save").click();
      await page.getByText('"many" is no number.').waitFor();
      expect(await pale(page)).toEqual([]);
      await page.keyboard.press("Escape");
      await board.button("Make a key").click();
      await page.getByLabel(/^Owner,/).fill("looker");
      await page.getByLabel(/^Name,/).fill(colorScheme);
      expect(await pale(page)).toEqual([]);
      await board.button("Make the key").click();
      await board.dialog(`The key ${colorScheme} of looker`).waitFor();
      await page.keyboard.press("Escape");
      await page.getByText("It has not been copied.").waitFor();
      expect(await pale(page)).toEqual([]);
    },
  );

  it.each(["light", "dark"] as const)("can be read in %s colours", async (colorScheme) => {
    const board = await room.open({ logs: /status of 40[01]|net::ERR_/ });
    const { page } = board;
    await page.emulateMedia({ colorScheme });
    await page.getByLabel("Admin token", { exact: true }).fill("wrong");
    await board.button("Log in").click();
    await page.getByRole("alert").filter({ hasText: "not the admin token" }).waitFor();
    expect(await pale(page)).toEqual([]);
    await board.logIn(room.adminToken);
    const [red = 0] =
      (await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).match(/\d+/g) ?? [];
    expect(Number(red) < 128).toBe(colorScheme === "dark");

    const flag = board.row("Flags", "queue_max");
    await flag.getByRole("textbox").fill("many");
    await flag.getByRole("textbox").press("Enter");
    const said = flag.getByText("Must be");
    await said.waitFor();
    const colourOf = (element: Locator, property: "color" | "outline-color") =>
      element.evaluate((seen, name) => getComputedStyle(seen).getPropertyValue(name), property);
    // It has the focus, whose outline would else hide that it is wrong.
    expect(await colourOf(flag.getByRole("textbox"), "outline-color")).toBe(await colourOf(said, "color"));
    await page.getByText("What if …").click();
    await page.getByLabel(`Choose ${MACHINE}`).check();
    await page.getByLabel("Model for all of them").waitFor();
    await page.getByLabel("Moves of one tick").fill("7");
    expect(await pale(page)).toEqual([]);
    // What was typed must not be taken for the hint that stands in an empty field.
    const colours = page
      .locator("input:visible")
      .evaluateAll((fields) => fields.map((field) => getComputedStyle(field).color));
    expect(new Set(await colours)).toEqual(new Set([await colourOf(page.locator("body"), "color")]));

    await board.button("shown", page.locator("#pools")).click();
    const dialog = board.dialog("shown");
    await dialog.getByLabel("Sell it through OpenRouter").check();
    await board.button("Save", dialog).click();
    await dialog.getByRole("status").filter({ hasText: "is required" }).waitFor();
    expect(await pale(page)).toEqual([]);
    await board.button("Remove", dialog).click();
    await board.question.waitFor();
    expect(await pale(page)).toEqual([]);

    // What is old is marked, and is all that there is to read.
    await page.keyboard.press("Escape");
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    await board.context.setOffline(true);
    await board.button("Refresh").click();
    await board.status.filter({ hasText: /^Stale/ }).waitFor();
    expect(await pale(page)).toEqual([]);
  });

  it("brings the Tab key to whatever can be used, where one can see it", async () => {
    const board = await room.enter();
    const { page } = board;
    await board.goToKeys();
    await page.getByText("What if …").click();
    await page.getByLabel(`Choose ${MACHINE}`).check();
    await page.getByLabel("Model for all of them").waitFor();
    await page.locator("#pause").click();
    await page.evaluate(() => (document.activeElement as HTMLElement).blur());
    await page.evaluate(() => getSelection()?.setPosition(document.body, 0));
    const wanted = await usable(page);
    expect(wanted.length).toBeGreaterThan(40);
    const seen: string[] = [];
    const unseen: string[] = [];
    for (let presses = 0; presses < wanted.length + 10; presses += 1) {
      await page.keyboard.press("Tab");
      const { name, isSeen } = await focused(page);
      seen.push(name);
      if (!isSeen) unseen.push(name);
    }
    expect(wanted.filter((name) => !seen.includes(name))).toEqual([]);
    expect(unseen.filter((name) => wanted.includes(name))).toEqual([]);
  });

  it("does all that it does without a mouse", async () => {
    await room.admin.setFlag("assignment_gate", "on");
    const board = await room.enter();
    const { page } = board;
    const { keyboard } = page;
    const press = async (target: Locator): Promise<void> => {
      await board.tabTo(target);
      await keyboard.press("Enter");
    };
    const confirm = async (verb: string): Promise<void> => {
      await board.question.waitFor();
      expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Cancel");
      await press(board.button(verb, board.question));
    };

    // A model: the focus begins where one types first.
    await press(board.button("Add a model"));
    for (const value of ["typed", "1024", "0.003", "1"]) {
      await keyboard.type(value);
      await keyboard.press("Tab");
    }
    await keyboard.press("Enter");
    await page.locator("#pools-report").filter({ hasText: "typed is in the catalog." }).waitFor();
    const opener = board.button("typed", page.locator("#pools"));
    await press(opener);
    await board.dialog("typed").waitFor();
    await keyboard.press("Escape");
    await board.dialog("typed").waitFor({ state: "hidden" });
    expect(await opener.evaluate((element) => element === document.activeElement)).toBe(true);
    await keyboard.press("Enter");
    await press(board.button("Remove", board.dialog("typed")));
    await confirm("Remove");
    await page.locator("#pools-report").filter({ hasText: "typed is removed." }).waitFor();

    // A machine.
    await press(board.button("mac-shown", page.locator("#machines")));
    const dialog = board.dialog("mac-shown");
    await press(board.button("Assign", dialog));
    await dialog.getByRole("status").filter({ hasText: /./ }).waitFor();
    expect(await room.read("machines/mac-shown")).toMatchObject({ assigned_model: "shown" });
    await press(board.button("Release", dialog));
    await dialog
      .getByRole("status")
      .filter({ hasText: /elease/ })
      .waitFor();
    await press(board.button("Quarantine", dialog));
    await confirm("Quarantine");
    await press(board.button("Readmit", dialog));
    await dialog.getByRole("status").filter({ hasText: "Readmitted." }).waitFor();
    await keyboard.press("Escape");

    // What a mouse would learn from the head of a column.
    await press(page.locator("#pools").getByText("What the words mean"));
    await page.locator("#pools-words").getByText("Machines that the measured demand keeps busy").waitFor();

    // The planner.
    await press(page.locator("#what-if summary"));
    await board.tabTo(page.getByLabel("Requests/s of shown instead"));
    await keyboard.type("2");
    await keyboard.press("Enter");
    await page
      .locator("#what-if-report")
      .filter({ hasText: /^It would|^There is/ })
      .waitFor();

    // A flag.
    await board.tabTo(page.getByLabel("New value of assignment_gate"));
    await keyboard.type("off");
    await press(board.button("Set", board.row("Flags", "assignment_gate")));
    await confirm("Switch off");
    await board.row("Flags", "assignment_gate").getByText("Set to off.").waitFor();

    // A key: from its owner to its end.
    await press(board.button("Make a key"));
    await keyboard.type("typist");
    await keyboard.press("Tab");
    await keyboard.type("typed key");
    await keyboard.press("Enter");
    const made = board.dialog("The key typed key of typist");
    await made.waitFor();
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Copy");
    await press(board.button("Close", made));
    const row = board.button("typed key", page.locator("#keys"));
    await press(row);
    const settings = board.dialog("Key typed key");
    await board.tabTo(settings.getByLabel("Requests a minute"));
    await keyboard.type("7");
    await keyboard.press("Enter");
    await page.locator("#keys-report").filter({ hasText: "is changed" }).waitFor();
    expect(await row.evaluate((element) => element === document.activeElement)).toBe(true);
    await keyboard.press("Enter");
    await press(board.button("Revoke", settings));
    await confirm("Revoke");
    await page.locator("#keys-report").filter({ hasText: "is revoked" }).waitFor();
    await press(board.button("Log out"));
    await page.getByLabel("Admin token", { exact: true }).waitFor();
  });
});
