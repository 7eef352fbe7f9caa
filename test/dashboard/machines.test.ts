import { once } from "node:events";

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { hasBrowser, Room, TITLE } from "./board.ts";

/** Machines on the page, and what an operator orders them to do there. */

interface Ordered {
  readonly assigned_model: string | null;
  readonly cordoned: boolean;
  readonly quarantined: boolean;
  readonly order: { readonly pinned: boolean } | null;
}

describe.skipIf(!hasBrowser)("a machine on the dashboard", () => {
  let room: Room;
  beforeAll(async () => {
    room = new Room();
    await room.addModels("tiny-bard", "tiny-verse");
    await room.admin.setFlag("assignment_gate", "on");
  });
  afterEach(() => room.closeBoards());
  afterAll(() => room.leave());

  const machine = (id: string) => room.read<Ordered>(`machines/${id}`);

  it("is switched to another model, unpinned, released, cordoned and uncordoned, shut out and readmitted, and not removed before it is gone", async () => {
    const id = "mac-ordered";
    const program = await room.machines.startProvider(id, ["tiny-bard", "tiny-verse"], ["--engine", "echo"]);
    const board = await room.enter({ logs: /status of 409/ });
    const { page } = board;
    const line = board.row("Machines", id);
    await line.getByText("holds tiny-bard").waitFor();
    const dialog = await board.openMachine(id);
    // It says so of busy machines as well as of idle ones.
    await dialog.getByRole("term").filter({ hasText: "What it does" }).waitFor();
    const report = dialog.getByRole("status");

    await dialog.getByLabel("Assign to").selectOption("tiny-verse");
    await board.button("Assign", dialog).click();
    await board.shows(report.filter({ hasText: "Done: it serves tiny-verse." }));
    expect(await machine(id)).toMatchObject({ assigned_model: "tiny-verse", order: { pinned: true } });
    await line.getByText("assigned", { exact: true }).waitFor();
    await line.getByRole("cell", { name: "tiny-verse", exact: true }).waitFor();
    const move = page.getByRole("table", { name: "Recent moves" }).getByRole("row").filter({ hasText: id });
    await move.filter({ hasText: /→ tiny-verse.*an operator has pinned it.*succeeded in/ }).waitFor();

    await board.button("Unpin", dialog).click();
    await report.filter({ hasText: "Unpinned" }).waitFor();
    expect(await machine(id)).toMatchObject({ assigned_model: "tiny-verse", order: { pinned: false } });

    await board.button("Release", dialog).click();
    await board.shows(report.filter({ hasText: "Done: it is assigned to nothing." }));
    expect(await machine(id)).toMatchObject({ assigned_model: null });

    await board.button("Cordon", dialog).click();
    await report.filter({ hasText: "Cordoned: it gets no new requests" }).waitFor();
    expect(await machine(id)).toMatchObject({ cordoned: true });
    await board.shows(line.getByText("it gets no requests"));
    await board.shows(line.getByText("cordoned", { exact: true }));
    await board.button("Uncordon", dialog).click();
    await report.filter({ hasText: "Uncordoned" }).waitFor();
    expect(await machine(id)).toMatchObject({ cordoned: false });

    await board.button("Quarantine", dialog).click();
    await board.question.getByText(`Shut ${id} out?`).waitFor();
    await board.button("Cancel", board.question).click();
    expect(await machine(id)).toMatchObject({ quarantined: false });
    const ended = once(program, "exit");
    await board.button("Quarantine", dialog).click();
    await board.button("Quarantine", board.question).click();
    await report.filter({ hasText: "In quarantine" }).waitFor();
    expect(await machine(id)).toMatchObject({ quarantined: true });
    await ended;
    await board.shows(line.getByText("An operator has quarantined this machine"));

    await board.button("Readmit", dialog).click();
    await report.filter({ hasText: "Readmitted" }).waitFor();
    expect(await machine(id)).toMatchObject({ quarantined: false });

    await board.shows(board.button("Remove", dialog));
    await board.button("Remove", dialog).click();
    await board.question.getByText(`Remove ${id}?`).waitFor();
    await board.button("Remove", board.question).click();
    await report
      .filter({ hasText: "has registered within the last minute; try again when it is over" })
      .waitFor();
    expect(await machine(id)).toMatchObject({ assigned_model: null });
  });

  it("is shown as it was, and takes no orders, once somebody else has removed it", async () => {
    await room.addPuppet("mac-removed", ["tiny-bard"]);
    const board = await room.enter({ logs: /status of 404/ });
    const dialog = await board.openMachine("mac-removed");
    await board.button("Quarantine", dialog).waitFor();
    const message = 'no machine with the id "mac-removed" has registered';
    await board.page.route("**/v1/admin/machines/mac-removed", (route) =>
      route.fulfill({ status: 404, json: { error: { message, code: "not_found" } } }),
    );
    await dialog.getByText("Somebody has removed it. This is how it was.").waitFor();
    await dialog.getByText("On its disk", { exact: true }).waitFor();
    expect(await board.button("Quarantine", dialog).isVisible()).toBe(false);
  });

  it("says what a machine says as text, whatever is written in it", async () => {
    const mark = (where: string) =>
      `<img src="/dashboard/icon.svg" onload="document.title='${where}'"><b>${where}</b>`;
    const owner = mark("owner");
    const chip_name = mark("chip");
    const puppet = await room.addPuppet("mac-hostile", ["tiny-bard"], {
      hardware: { chip_name },
      token: await room.admin.createProviderToken(owner, "hostile"),
    });
    const board = await room.enter();
    const line = board.row("Machines", "mac-hostile");
    await line.getByText(chip_name).waitFor();
    await room.admin.pin("mac-hostile", "tiny-bard");
    const { model_id, epoch } = await puppet.ordered;
    const message = mark("failure");
    const error = { code: "load_failed", message };
    puppet.send({ type: "assign_model_status", model_id, epoch, status: "failed", error });
    await board.shows(line.getByText(message));
    const dialog = await board.openMachine("mac-hostile");
    for (const said of [chip_name, owner, message]) {
      await dialog.getByText(said).first().waitFor();
    }
    await board.page.getByRole("searchbox", { name: "Filter machines" }).fill("<b>CHIP");
    await line.waitFor();
    expect(await board.page.title()).toMatch(TITLE);
    expect(await board.page.locator("b, img").count()).toBe(0);
  });

  it("is found among others, by words and by what it needs", async () => {
    for (const name of ["north", "south"]) await room.addPuppet(`mac-${name}`, ["tiny-bard"]);
    const board = await room.enter();
    const { page } = board;
    await board.row("Machines", "mac-north").waitFor();
    await page.getByRole("searchbox", { name: "Filter machines" }).fill("north M3");
    await board.row("Machines", "mac-south").waitFor({ state: "detached" });
    await board.row("Machines", "mac-north").waitFor();
    await page.locator("#machines-show").selectOption("offline");
    await page.getByText("No machine matches the filter.").waitFor();
    await page.getByRole("searchbox", { name: "Filter machines" }).fill("");
    await page.locator("#machines-show").selectOption("all");
    await board.button("Memory", page.locator("#machines")).click();
    await page.locator("#machines th[aria-sort=descending]", { hasText: "Memory" }).waitFor();
  });

  it("has a row as low as others if its id is long, and is called by the whole of it", async () => {
    const long = `build-farm-rack-12-mac-studio-m3-ultra-192gb-unit-0042-${"7".repeat(9)}`;
    expect(long).toHaveLength(64);
    for (const id of [long, "mac-low"]) await room.addPuppet(id, ["tiny-bard"]);
    const board = await room.enter();
    const height = async (id: string) => (await board.row("Machines", id).boundingBox())?.height ?? NaN;
    await board.row("Machines", long).waitFor();
    // A line more, in a wide font.
    expect((await height(long)) - (await height("mac-low"))).toBeLessThan(25);
    await board.openMachine(long);
  });

  it("is found in the same way after the page was loaded anew, which is paused as before, until somebody logs out", async () => {
    for (const name of ["kept", "other"]) await room.addPuppet(`mac-${name}`, ["tiny-bard"]);
    const board = await room.enter();
    const { page } = board;
    const filter = page.getByRole("searchbox", { name: "Filter machines" });
    await board.row("Machines", "mac-kept").waitFor();
    await filter.fill("kept");
    await page.locator("#machines-show").selectOption("unmanaged");
    const memory = page.locator("#machines thead").getByRole("button", { name: "Memory" });
    await memory.click();
    await memory.click();
    await board.button("Pause").click();
    await page.reload();
    await board.status.filter({ hasText: /^Updated/ }).waitFor();
    expect(await board.button("Go on").getAttribute("aria-pressed")).toBe("true");
    expect(await filter.inputValue()).toBe("kept");
    expect(await page.locator("#machines-show").inputValue()).toBe("unmanaged");
    await page.locator("#machines th[aria-sort=ascending]", { hasText: "Memory" }).waitFor();
    await board.row("Machines", "mac-kept").waitFor();
    expect(await board.row("Machines", "mac-other").count()).toBe(0);

    let readings = 0;
    page.on("request", (request) => {
      if (request.url().endsWith("/utilization")) readings += 1;
    });
    await page.waitForTimeout(6000);
    expect(readings).toBe(0);
    await board.button("Go on").click();
    await board.button("Log out").click();
    await board.logIn(room.adminToken);
    await board.row("Machines", "mac-other").waitFor();
    expect(await filter.inputValue()).toBe("");
  });
});
