import type { Locator } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { hasBrowser, Room } from "./board.ts";

/** Models of the catalog, added, changed and taken out on the page. */

const entry = { context_length: 1024, size_gb: 0.003, min_ram_gb: 1 };

describe.skipIf(!hasBrowser)("a model on the dashboard", () => {
  let room: Room;
  beforeAll(() => {
    room = new Room();
  });
  afterEach(() => room.closeBoards());
  afterAll(() => room.leave());

  const isMarked = (field: Locator) => field.getAttribute("aria-invalid");

  it("is added once all about it is right, and what is wrong is marked and said", async () => {
    const board = await room.enter({ logs: /status of 400/ });
    await board.button("Add a model").click();
    const dialog = board.dialog("Add a model");
    const report = dialog.getByRole("status");
    const field = (label: string | RegExp) => dialog.getByLabel(label);
    await board.button("Add", dialog).click();
    await report.filter({ hasText: "It needs an id" }).waitFor();
    expect(await isMarked(field(/^Id,/))).toBe("true");

    await field(/^Id,/).fill("added");
    await field("Context, tokens").fill("many");
    await board.button("Add", dialog).click();
    await report.filter({ hasText: '"many" is no number.' }).waitFor();
    expect([await isMarked(field(/^Id,/)), await isMarked(field("Context, tokens"))]).toEqual([
      "false",
      "true",
    ]);

    await field("Context, tokens").fill("1024");
    await field("Size of the weights, GB").fill("-1");
    await field("Memory it needs, GB").fill("1");
    await board.button("Add", dialog).click();
    await report.filter({ hasText: /^Size of the weights, GB: / }).waitFor();
    expect(await isMarked(field("Size of the weights, GB"))).toBe("true");

    await field("Size of the weights, GB").fill("0.003");
    await board.button("Add", dialog).click();
    await board.page.locator("#pools-report").filter({ hasText: "added is in the catalog." }).waitFor();
    await dialog.waitFor({ state: "hidden" });
    await board.row("Pools", "added").waitFor();
    expect(await room.read("catalog/added")).toMatchObject(entry);

    await board.button("Add a model").click();
    await field(/^Id,/).fill("added");
    await board.button("Add", dialog).click();
    await report.filter({ hasText: "added is in the catalog already" }).waitFor();
  });

  it("is added for the machines that were turned away without it", async () => {
    const board = await room.enter();
    const line = board.row("Turned away", "knocked-for");
    expect(await line.count()).toBe(0);
    await expect(room.addPuppet("mac-knocks", ["knocked-for"])).rejects.toThrow("404");
    await board.shows(line.getByText("mac-knocks of local"));
    await board.button("Add knocked-for to the catalog").click();
    const dialog = board.dialog("Add a model");
    expect(await dialog.getByLabel(/^Id,/).inputValue()).toBe("knocked-for");
    expect(await board.page.evaluate(() => document.activeElement?.parentElement?.textContent)).toContain(
      "Context",
    );
    await dialog.getByLabel("Context, tokens").fill("1024");
    await dialog.getByLabel("Size of the weights, GB").fill("0.003");
    await dialog.getByLabel("Memory it needs, GB").fill("1");
    await board.button("Add", dialog).click();
    await board.row("Pools", "knocked-for").waitFor();
    await line.waitFor({ state: "detached" });
    await room.addPuppet("mac-knocks", ["knocked-for"]);
    await board.shows(board.row("Machines", "mac-knocks"));
  });

  it("is changed, a field that was emptied has its default again, and what is in no field is kept", async () => {
    const listing = { name: "Changed", pricing: { prompt: "0", completion: "0.0000001" } };
    await room.admin.addToCatalog([{ id: "changed", ...entry, floor: 2, listing }]);
    const board = await room.enter();
    await board.button("changed", board.page.locator("#pools")).click();
    const dialog = board.dialog("changed");
    await dialog.getByLabel("Machines at least").fill("");
    await dialog.getByLabel("Priority").fill("2.5");
    await dialog.getByLabel(/^Other names/).fill("small, tiny");
    await board.button("Save", dialog).click();
    await board.page.locator("#pools-report").filter({ hasText: "changed is changed." }).waitFor();
    const changed = { ...entry, floor: 0, priority: 2.5, aliases: ["small", "tiny"], listing };
    expect(await room.read("catalog/changed")).toMatchObject(changed);
  });

  it("is sold with prices for a million tokens, what is wrong of them is marked, and is sold no more", async () => {
    await room.addModels("sold");
    const board = await room.enter({ logs: /status of 400/ });
    const dialog = board.dialog("sold");
    const report = dialog.getByRole("status");
    const reopen = async (): Promise<void> => {
      await board.button("sold", board.page.locator("#pools")).click();
      await dialog.getByLabel("Context, tokens").and(board.page.locator(":enabled")).waitFor();
    };
    const saved = (): Promise<void> =>
      board.page.locator("#pools-report").filter({ hasText: "sold is changed." }).waitFor();
    const offered = async () => {
      const response = await fetch(`${room.machines.url}/v1/models?format=openrouter`);
      return ((await response.json()) as { data: { id: string }[] }).data.map(({ id }) => id);
    };
    await reopen();
    expect(await dialog.getByLabel("The name that buyers read").isVisible()).toBe(false);
    await dialog.getByLabel("Sell it through OpenRouter").check();
    await dialog.getByLabel("The name that buyers read").fill("Sold");
    await dialog.getByLabel(/^Prompt,/).fill("0,03");
    await board.button("Save", dialog).click();
    await report.filter({ hasText: '"0,03" is no number.' }).waitFor();
    expect(await isMarked(dialog.getByLabel(/^Prompt,/))).toBe("true");
    await dialog.getByLabel(/^Prompt,/).fill("0.03");
    await board.button("Save", dialog).click();
    await report.filter({ hasText: /^Answer, \$ per million tokens: is required/ }).waitFor();
    expect(await isMarked(dialog.getByLabel(/^Answer,/))).toBe("true");
    await dialog.getByLabel(/^Answer,/).fill("0.14");
    await dialog.getByLabel("Quantization").selectOption("mxfp4");
    await board.button("Save", dialog).click();
    await saved();
    expect(await room.read("catalog/sold")).toMatchObject({
      listing: {
        name: "Sold",
        pricing: { prompt: "0.00000003", completion: "0.00000014" },
        quantization: "mxfp4",
      },
    });
    expect(await offered()).toContain("sold");

    await reopen();
    expect(await dialog.getByLabel(/^Prompt,/).inputValue()).toBe("0.03");
    await dialog.getByLabel("Sell it through OpenRouter").uncheck();
    await board.button("Save", dialog).click();
    await saved();
    expect(await room.read("catalog/sold")).not.toHaveProperty("listing");
    expect(await offered()).not.toContain("sold");
  });

  it("says what was asked of it in the last day, beside all that was asked of the fleet", async () => {
    await room.addModels("charted");
    const response = await fetch(`${room.machines.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${room.machines.dev.api_key}` },
      body: JSON.stringify({ model: "charted", messages: [{ role: "user", content: "Hello" }] }),
    });
    expect(response.status).toBe(503);
    const board = await room.enter();
    const days = board.page.getByRole("group", { name: "Requests by hour" });
    await days.getByText(/^Last day: [\d,]+ requests?, [\d,]+ refused/).waitFor();
    await board.button("charted", board.page.locator("#pools")).click();
    const day = board.dialog("charted").getByRole("group", { name: "Requests by hour" });
    await day.getByText("Last day: 1 request, 1 refused (100 %), 0 tokens").waitFor();
    expect(await day.locator("rect.served").count()).toBe(24);
    const heights = await day
      .locator("rect.refused")
      .evaluateAll((bars) => bars.map((bar) => bar.getAttribute("height")));
    expect(heights).toEqual([...Array.from({ length: 23 }, () => "0.0"), "48.0"]);
    await board.page.keyboard.press("Escape");
    await board.button("Add a model").click();
    await board
      .dialog("Add a model")
      .getByRole("group", { name: "Requests by hour" })
      .waitFor({ state: "hidden" });
  });

  it("is not changed nor removed over what somebody else has made of it meanwhile", async () => {
    await room.addModels("shared");
    const board = await room.enter({ logs: /status of 412/ });
    await board.button("shared", board.page.locator("#pools")).click();
    const dialog = board.dialog("shared");
    await dialog.getByLabel("Priority").fill("2");
    await room.write("catalog/shared", { ...entry, floor: 1 });
    await board.button("Save", dialog).click();
    const report = dialog.getByRole("status");
    await report.filter({ hasText: "Somebody else has changed or removed it" }).waitFor();
    const refused = board.page.waitForResponse((response) => response.request().method() === "DELETE");
    await board.button("Remove", dialog).click();
    await board.button("Remove", board.question).click();
    expect((await refused).status()).toBe(412);
    await report.filter({ hasText: "Close it, open it again and try once more." }).waitFor();
    expect(await room.read("catalog/shared")).toMatchObject({ ...entry, floor: 1, priority: 1 });

    await board.button("Close", dialog).click();
    await board.button("shared", board.page.locator("#pools")).click();
    await dialog.getByLabel("Priority").fill("2");
    await board.button("Save", dialog).click();
    await board.page.locator("#pools-report").filter({ hasText: "shared is changed." }).waitFor();
    expect(await room.read("catalog/shared")).toMatchObject({ ...entry, floor: 1, priority: 2 });
  });

  it("is removed after a question, which names the machines that it releases", async () => {
    await room.addModels("removed");
    await room.admin.setFlag("assignment_gate", "on");
    await room.addPuppet("mac-removed", ["removed"]);
    const board = await room.enter({ logs: /status of 409/ });
    await board.button("removed", board.page.locator("#pools")).click();
    const dialog = board.dialog("removed");
    await board.button("Remove", dialog).click();
    await board.question.getByText("Remove removed from the catalog?").waitFor();
    expect(await board.question.textContent()).not.toContain("released");
    await board.page.keyboard.press("Escape");
    expect(await room.read("catalog/removed")).toMatchObject(entry);

    // Of an order that was given elsewhere a page that is paused does not know.
    await board.button("Pause").dispatchEvent("click");
    await room.admin.pin("mac-removed", "removed");
    await board.button("Remove", dialog).click();
    await board.button("Remove", board.question).click();
    await dialog.getByRole("status").filter({ hasText: "machines are assigned to it" }).waitFor();
    expect(await room.read("catalog/removed")).toMatchObject(entry);

    await board.shows(board.row("Machines", "mac-removed").getByText(/^(expected|draining|loading)$/));
    await board.button("Remove", dialog).click();
    await board.question.getByText("1 machine assigned to it will be released: mac-removed.").waitFor();
    await board.button("Release and remove", board.question).click();
    await board.page.locator("#pools-report").filter({ hasText: "removed is removed." }).waitFor();
    await board.row("Pools", "removed").waitFor({ state: "detached" });
    expect(await room.read("catalog/removed")).toMatchObject({ error: { code: "model_not_found" } });
    expect(await room.read("machines/mac-removed")).toMatchObject({ assigned_model: null });
  });
});
