import type { Locator, Route } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { type Board, hasBrowser, Room, TITLE } from "./board.ts";

/** API keys and provider tokens on the page: made, changed and revoked, and what is left of a secret. */

interface Keys {
  readonly keys: readonly { readonly id: string; readonly name: string; readonly owner: string }[];
}

describe.skipIf(!hasBrowser)("a key on the dashboard", () => {
  let room: Room;
  beforeAll(async () => {
    room = new Room();
    await room.addModels("keyed");
  });
  afterEach(() => room.closeBoards());
  afterAll(() => room.leave());

  const keyNamed = async (name: string) =>
    (await room.read<Keys>("keys")).keys.find((key) => key.name === name);
  const isMarked = (field: Locator) => field.getAttribute("aria-invalid");

  async function make(board: Board, kind: "key" | "token", owner: string, name: string): Promise<Locator> {
    await board.button(`Make a ${kind}`).click();
    const dialog = board.dialog(kind === "key" ? "Make an API key" : "Make a provider token");
    await dialog.getByLabel(/^Owner/).fill(owner);
    await dialog.getByLabel(/^Name/).fill(name);
    await board.button(`Make the ${kind}`, dialog).click();
    const shown = board.dialog(`The ${kind} ${name} of ${owner}`);
    await shown.getByText("It is shown this once.").waitFor();
    return shown;
  }

  const secretIn = async (dialog: Locator) => (await dialog.getByLabel("The secret").textContent()) ?? "";

  /** Everything in which the page could have kept something. */
  const traces = (board: Board) =>
    board.page.evaluate(() =>
      [
        document.documentElement.outerHTML,
        ...[...document.querySelectorAll("input")].map(({ value }) => value),
        JSON.stringify(sessionStorage),
        JSON.stringify(localStorage),
        document.cookie,
        location.href,
        JSON.stringify(history.state),
        ...performance.getEntries().map(({ name }) => name),
      ].join("\n"),
    );

  it("is made once all about it is right, and its secret is shown once", async () => {
    const board = await room.enter({ logs: /status of 400/ });
    const { page } = board;
    const part = await board.goToKeys();
    await board.button("Make a key").click();
    const dialog = board.dialog("Make an API key");
    const report = dialog.getByRole("status");
    const field = (label: RegExp) => dialog.getByLabel(label);
    await board.button("Make the key", dialog).click();
    await report.filter({ hasText: "It needs an owner" }).waitFor();
    expect(await isMarked(field(/^Owner/))).toBe("true");

    await field(/^Owner/).fill("maker");
    await field(/^Name/).fill("made here");
    await field(/^Requests/).fill("many");
    await board.button("Make the key", dialog).click();
    await report.filter({ hasText: 'Requests a minute: "many" is no number.' }).waitFor();
    expect([await isMarked(field(/^Owner/)), await isMarked(field(/^Requests/))]).toEqual(["false", "true"]);

    await field(/^Requests/).fill("0");
    await board.button("Make the key", dialog).click();
    await report.filter({ hasText: /^Requests a minute: / }).waitFor();
    await report.filter({ hasNotText: "is no number" }).waitFor();
    expect(await isMarked(field(/^Requests/))).toBe("true");

    await field(/^Requests/).fill("60");
    await field(/^Priority/).selectOption("low");
    await board.button("Make the key", dialog).click();
    const shown = board.dialog("The key made here of maker");
    await shown.getByText("It is shown this once.").waitFor();
    const secret = await secretIn(shown);
    const made = await keyNamed("made here");
    expect(made).toMatchObject({
      owner: "maker",
      requests_per_minute: 60,
      tokens_per_minute: null,
      priority: "low",
    });
    expect(secret).toMatch(new RegExp(`^pk_${made?.id ?? "?"}_[0-9a-f]{64}$`));
    const models = await fetch(`${room.machines.url}/v1/models`, {
      headers: { authorization: `Bearer ${secret}` },
    });
    expect(models.status).toBe(200);
    const command = shown.getByLabel("The command");
    expect(await command.textContent()).toContain(`${room.machines.url}/v1/chat/completions`);
    expect(await command.textContent()).toContain(secret);

    await board.button("Close", shown).click();
    await shown.waitFor({ state: "hidden" });
    await part.getByText("The key made here of maker is made.").waitFor();
    await board.row("API keys", "made here").getByRole("cell", { name: "60", exact: true }).waitFor();
    expect(await traces(board)).not.toContain(secret.slice(-32));
    await page.reload();
    await board.goToKeys();
    await board.row("API keys", "made here").waitFor();
    expect(await traces(board)).not.toContain(secret.slice(-32));
  });

  it("is copied by a button, and not closed by the way before", async () => {
    const board = await room.enter();
    const { page } = board;
    await board.context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await board.goToKeys();
    const dialog = await make(board, "key", "maker", "copied");
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Copy");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Escape");
    await dialog.getByRole("status").filter({ hasText: "It has not been copied." }).waitFor();
    await page.mouse.click(5, 400);
    expect(await dialog.isVisible()).toBe(true);
    const reload = () => page.evaluate(() => void setTimeout(() => location.reload()));
    const [question] = await Promise.all([page.waitForEvent("dialog"), reload()]);
    expect(question.type()).toBe("beforeunload");
    await question.dismiss();
    expect(await dialog.isVisible()).toBe(true);

    await board.button("Copy", dialog).press("Enter");
    await dialog.getByRole("status").filter({ hasText: "The secret is copied." }).waitFor();
    const secret = await secretIn(dialog);
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(secret);
    await board.button("Copy the command", dialog).click();
    await dialog.getByRole("status").filter({ hasText: "The command is copied." }).waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toContain(`Bearer ${secret}`);
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    expect(await traces(board)).not.toContain(secret.slice(-32));
    const next = await make(board, "key", "maker", "reloaded");
    await board.button("Copy", next).click();
    await next.getByText("The secret is copied.").waitFor();
    await page.reload();
    await board.goToKeys();
  });

  it("is selected where the browser lets nothing be copied by a page", async () => {
    const board = await room.enter();
    await board.page.evaluate(() => Object.defineProperty(navigator, "clipboard", { value: undefined }));
    await board.goToKeys();
    const dialog = await make(board, "key", "maker", "selected");
    await board.button("Copy", dialog).click();
    await dialog.getByRole("status").filter({ hasText: "It is selected: press Ctrl+C" }).waitFor();
    expect(await board.page.evaluate(() => String(getSelection()))).toBe(await secretIn(dialog));
  });

  it("is changed, and revoked after a question", async () => {
    await room.admin.createKey("changer", "changed");
    const board = await room.enter({ logs: /status of 404/ });
    const part = await board.goToKeys();
    const line = board.row("API keys", "changed");
    await board.button("changed", part).click();
    const dialog = board.dialog("Key changed");
    const report = dialog.getByRole("status");
    await board.button("Save", dialog).click();
    await report.filter({ hasText: "That is how it is." }).waitFor();
    await dialog.getByLabel("Tokens a minute").fill("100000");
    await board.button("Save", dialog).click();
    await part.getByText("The key changed of changer is changed.").waitFor();
    await line.getByRole("cell", { name: "100,000" }).waitFor();
    expect(await keyNamed("changed")).toMatchObject({
      requests_per_minute: null,
      tokens_per_minute: 100_000,
    });

    await board.button("changed", part).click();
    await dialog.getByLabel("Tokens a minute").fill("");
    await dialog.getByLabel("Priority").selectOption("high");
    await board.button("Save", dialog).click();
    await line.getByRole("cell", { name: "high" }).waitFor();
    expect(await keyNamed("changed")).toMatchObject({ tokens_per_minute: null, priority: "high" });

    await board.button("changed", part).click();
    await board.button("Revoke", dialog).click();
    await board.question.getByText("Revoke changed of changer?").waitFor();
    await board.button("Cancel", board.question).click();
    expect(await keyNamed("changed")).toBeDefined();
    await board.button("Revoke", dialog).click();
    await board.button("Revoke", board.question).click();
    await part.getByText("The key changed of changer is revoked.").waitFor();
    await line.waitFor({ state: "detached" });
    expect(await board.page.evaluate(() => document.activeElement?.id)).toBe("keys-title");
    expect(await keyNamed("changed")).toBeUndefined();
  });

  it("that somebody else has revoked is told from one that cannot be reached", async () => {
    await room.admin.createKey("changer", "raced");
    const board = await room.enter({ logs: /status of 404|net::ERR_/ });
    const part = await board.goToKeys();
    await board.button("raced", part).click();
    const dialog = board.dialog("Key raced");
    await dialog.getByLabel("Requests a minute").fill("7");
    await board.context.setOffline(true);
    await board.button("Save", dialog).click();
    const report = dialog.getByRole("status");
    await report.filter({ hasText: "No answer: it may have been done all the same." }).waitFor();
    await board.context.setOffline(false);
    expect(await dialog.getByLabel("Requests a minute").inputValue()).toBe("7");

    const id = (await keyNamed("raced"))?.id ?? "";
    const headers = { authorization: `Bearer ${room.adminToken}` };
    await fetch(`${room.machines.url}/v1/admin/keys/${id}`, { method: "DELETE", headers });
    await board.button("Save", dialog).click();
    await report.filter({ hasText: "The coordinator does not know it: it is revoked" }).waitFor();
  });

  it("that got no answer may be there all the same, and what was typed stays", async () => {
    const board = await room.enter({ logs: /net::ERR_/ });
    const part = await board.goToKeys();
    // It is made, and its answer gets lost.
    const lose = async (route: Route): Promise<void> => {
      if (route.request().method() !== "POST") return route.fallback();
      await route.fetch();
      return route.abort("connectionreset");
    };
    await board.page.route("**/v1/admin/keys", lose);
    await board.button("Make a key").click();
    const dialog = board.dialog("Make an API key");
    await dialog.getByLabel(/^Owner/).fill("maker");
    await dialog.getByLabel(/^Name/).fill("lost");
    await board.button("Make the key", dialog).click();
    await dialog.getByRole("status").filter({ hasText: "with a secret that nobody has seen" }).waitFor();
    expect(await dialog.getByLabel(/^Name/).inputValue()).toBe("lost");
    await board.button("Close", dialog).click();
    await board.shows(board.row("API keys", "lost"));
    await board.button("lost", part).waitFor();
  });

  it("comes through a login with what was typed about it, and with its secret", async () => {
    const board = await room.enter({ logs: /status of 401/ });
    const { page } = board;
    await board.goToKeys();
    const refuse = (route: Route): Promise<void> => route.fulfill({ status: 401, body: "{}" });
    await page.route("**/v1/admin/keys", refuse);
    await board.button("Make a key").click();
    const dialog = board.dialog("Make an API key");
    await dialog.getByLabel(/^Owner/).fill("maker");
    await dialog.getByLabel(/^Name/).fill("interrupted");
    await board.button("Make the key", dialog).click();
    await page.getByRole("alert").filter({ hasText: "This is not the admin token" }).waitFor();
    await page.unrouteAll();
    await board.logIn(room.adminToken);
    await dialog.getByRole("status").filter({ hasText: "Nothing was changed." }).waitFor();
    await board.button("Make the key", dialog).click();
    const shown = board.dialog("The key interrupted of maker");
    const secret = await secretIn(shown);
    expect(secret).toMatch(/^pk_/);

    await page.route("**/v1/admin/flags", refuse);
    await board.button("Refresh").dispatchEvent("click");
    await page.getByRole("alert").filter({ hasText: "This is not the admin token" }).waitFor();
    expect(await shown.isVisible()).toBe(false);
    await page.unrouteAll();
    await board.logIn(room.adminToken);
    expect(await secretIn(shown)).toBe(secret);
    await board.button("Close", shown).click();
    expect(await traces(board)).not.toContain(secret.slice(-32));
  });

  it("is shown even if the dialog was closed before the answer came", async () => {
    const board = await room.enter();
    const { page } = board;
    await board.goToKeys();
    const asked = Promise.withResolvers<() => Promise<void>>();
    await page.route("**/v1/admin/keys", async (route) => {
      if (route.request().method() === "POST") asked.resolve(() => route.continue());
      else await route.fallback();
    });
    await board.button("Make a key").click();
    const dialog = board.dialog("Make an API key");
    await dialog.getByLabel(/^Owner/).fill("maker");
    await dialog.getByLabel(/^Name/).fill("slow");
    await board.button("Make the key", dialog).click();
    const answer = await asked.promise;
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    await answer();
    expect(await secretIn(board.dialog("The key slow of maker"))).toMatch(/^pk_/);
  });

  it("says on the page what went wrong if its dialog was closed before the answer came", async () => {
    await room.admin.createKey("changer", "left");
    const board = await room.enter({ logs: /net::ERR_/ });
    const { page } = board;
    const part = await board.goToKeys();
    let asked = Promise.withResolvers<() => Promise<void>>();
    await page.route(/admin\/keys/, async (route) => {
      if (["POST", "PATCH"].includes(route.request().method())) asked.resolve(() => route.abort());
      else await route.fallback();
    });
    const closeAndFail = async (dialog: Locator): Promise<void> => {
      const fail = await asked.promise;
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "hidden" });
      await fail();
      asked = Promise.withResolvers();
    };
    await board.button("left", part).click();
    const settings = board.dialog("Key left");
    await settings.getByLabel("Requests a minute").fill("7");
    await board.button("Save", settings).click();
    await closeAndFail(settings);
    await part.getByText("No answer: it may have been done all the same.").waitFor();

    await board.button("Make a key").click();
    const dialog = board.dialog("Make an API key");
    await dialog.getByLabel(/^Owner/).fill("maker");
    await dialog.getByLabel(/^Name/).fill("failed");
    await board.button("Make the key", dialog).click();
    await closeAndFail(dialog);
    await part.getByText("with a secret that nobody has seen").waitFor();
  });

  it("of a machine is shown with the command that uses it, and closes its sockets when it is revoked", async () => {
    const board = await room.enter();
    const part = await board.goToKeys();
    const made = await make(board, "token", "machinist", "office");
    const token = await secretIn(made);
    expect(token).toMatch(/^pt_/);
    const command = (await made.getByLabel("The command").textContent()) ?? "";
    expect(command).toContain(`--coordinator ${room.machines.url} --token-file ~/.poolkeeper/token`);
    expect(command).not.toContain(token);
    await made.getByLabel(/^Model/).selectOption("keyed");
    expect(await made.getByLabel("The command").textContent()).toContain(
      "--model keyed=hf:ORG/REPO/FILE.gguf",
    );
    await made.getByLabel("Where it comes from").selectOption("Ollama on the Mac");
    await made.getByLabel("What Ollama calls it").fill("keyed:3b");
    await made.getByLabel(/^Longest request/).fill("32768");
    const [, served] = (await made.getByLabel("The command").textContent())?.split("token-file ") ?? [];
    expect(served).toBe(
      "~/.poolkeeper/token \\\n  --server-url http://127.0.0.1:11434 \\\n  --context 32768 \\\n  --model keyed=keyed:3b",
    );
    await board.button("Close", made).click();
    expect(await traces(board)).not.toContain(token.slice(-32));

    const puppet = await room.addPuppet("mac-tokened", ["keyed"], { token });
    const line = board.row("Provider tokens", "office");
    await board.shows(line.getByRole("cell", { name: "1", exact: true }));
    await board.button("office", part).click();
    const dialog = board.dialog("Token office");
    await dialog.getByText("1 machine connected: mac-tokened").waitFor();
    expect(await board.button("Save", dialog).isVisible()).toBe(false);
    await board.button("Close", dialog).click();
    const machine = await board.openMachine("mac-tokened");
    await machine.getByText(/^office \([0-9a-f]{18}\)$/).waitFor();
    await board.button("Close", machine).click();
    await board.button("office", part).click();
    await board.button("Revoke", dialog).click();
    await board.question
      .getByText(/closed at once \(4005\).*Connected with it is 1 machine: mac-tokened\. Its id is/)
      .waitFor();
    await board.button("Revoke", board.question).click();
    await part.getByText("The token office of machinist is revoked, and its sockets are closed.").waitFor();
    expect(await puppet.closed).toBe(4005);
    await line.waitFor({ state: "detached" });
  });

  it("says what owners and names say as text, whatever is written in it", async () => {
    const mark = (where: string) =>
      `<img src="/dashboard/icon.svg" onload="document.title='${where}'"><b>${where}</b>`;
    const [owner, name] = [mark("owner"), mark("name")];
    await room.admin.createKey(owner, name);
    await room.admin.createProviderToken(owner, name);
    const board = await room.enter();
    const { page } = board;
    const part = await board.goToKeys();
    for (const [table, title] of [
      ["API keys", "Key"],
      ["Provider tokens", "Token"],
    ] as const) {
      const rows = part
        .getByRole("table", { name: table })
        .getByRole("row")
        .filter({ has: board.button(name) });
      await rows.getByText(owner, { exact: true }).waitFor();
      await board.button(name, rows).click();
      const dialog = board.dialog(`${title} ${name}`);
      await dialog.getByText(owner, { exact: true }).waitFor();
      await board.button("Revoke", dialog).click();
      await board.question.getByText(`Revoke ${name} of ${owner}?`).waitFor();
      await page.keyboard.press("Escape");
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "hidden" });
    }
    const shown = await make(board, "key", owner, mark("second"));
    await board.button("Close", shown).click();
    await page.getByRole("searchbox", { name: "Filter keys" }).fill("<b>NAME");
    await part.getByText("1 to 1 of 1").first().waitFor();
    expect(await page.title()).toMatch(TITLE);
    expect(await page.locator("b, img").count()).toBe(0);
    expect(
      await page.locator("#owners option").evaluateAll((options) => options.map((o) => o.textContent)),
    ).toContain(owner);
  });

  it("is found among thousands, a screenful of which is drawn", async () => {
    const board = await room.enter();
    const { page } = board;
    const asked: string[] = [];
    await page.route(/\/v1\/admin\/keys(\?|$)/, (route) => {
      const at = Number(new URL(route.request().url()).searchParams.get("cursor") ?? "0");
      asked.push(String(at));
      const keys = Array.from({ length: 100 }, (_, n) => ({
        id: String(100 * at + n).padStart(18, "0"),
        owner: `owner-${n % 7}`,
        name: `key-${100 * at + n}`,
        created_at: 1_795_486_495_000 + 1000 * (100 * at + n),
        requests_per_minute: null,
        tokens_per_minute: null,
        priority: "normal",
      }));
      return route.fulfill({ json: { keys, next_cursor: at < 24 ? String(at + 1) : null } });
    });
    const part = await board.goToKeys();
    await part.getByText("2,000 API keys").waitFor();
    expect(asked).toHaveLength(20);
    expect(await part.locator("#api-keys-table tbody tr").count()).toBe(50);
    await board.row("API keys", "key-1999").waitFor();
    await board.button("Next page of keys", part).click();
    await board.row("API keys", "key-1949").waitFor();
    await board.button("Read more", part).click();
    await part.getByText("2,500 API keys").waitFor();
    await board.button("Read more", part).waitFor({ state: "hidden" });
    await page
      .getByRole("searchbox", { name: "Filter keys" })
      .fill(`pk_${"2345".padStart(18, "0")}_${"0".repeat(64)}`);
    await part.getByText("1 to 1 of 1").first().waitFor();
    await board.row("API keys", "key-2345").waitFor();
  });

  it("is not read while nobody looks at the list", async () => {
    const board = await room.open();
    const readings = board.countReadings(/\/admin\/(keys|provider-tokens)/);
    await board.logInAtTop(room.adminToken);
    expect(readings()).toBe(0);
    await board.goToKeys();
    expect(readings()).toBe(2);
  });
});
