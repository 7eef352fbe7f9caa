import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { hasBrowser, Room } from "./board.ts";

/** Many machines that are chosen on the page and ordered at once. */

interface Ordered {
  readonly assigned_model: string | null;
  readonly cordoned: boolean;
}

describe.skipIf(!hasBrowser)("many machines on the dashboard", () => {
  let room: Room;
  beforeAll(async () => {
    room = new Room();
    await room.addModels("herded", "unherded");
    await room.admin.setFlag("assignment_gate", "on");
    for (const id of ["herd-1", "herd-2"]) await room.addPuppet(id, ["herded"]);
    await room.addPuppet("herd-3", ["unherded"]);
  });
  afterEach(() => room.closeBoards());
  afterAll(() => room.leave());

  const machine = (id: string) => room.read<Ordered>(`machines/${id}`);

  it("are chosen one by one, and cordoned and uncordoned after a question", async () => {
    const board = await room.enter();
    const { page } = board;
    const form = page.getByRole("form", { name: "Order for the chosen machines" });
    expect(await form.isVisible()).toBe(false);
    for (const id of ["herd-1", "herd-2"]) await page.getByLabel(`Choose ${id}`).check();
    await form.getByText("2 machines chosen").waitFor();
    await form.getByLabel("Order for all of them").selectOption("cordon");
    expect(await form.getByLabel("Model for all of them").isVisible()).toBe(false);

    await board.button("Order", form).click();
    await board.question.getByText("Cordon 2 machines?").waitFor();
    await board.button("Cancel", board.question).click();
    expect(await machine("herd-1")).toMatchObject({ cordoned: false });
    await board.button("Order", form).click();
    await board.button("Cordon", board.question).click();
    await form.getByText("2 accepted.").waitFor();
    for (const id of ["herd-1", "herd-2"]) expect(await machine(id)).toMatchObject({ cordoned: true });
    expect(await machine("herd-3")).toMatchObject({ cordoned: false });

    await form.getByLabel("Order for all of them").selectOption("uncordon");
    await board.button("Order", form).click();
    await board.button("Uncordon", board.question).click();
    await form.getByText("2 accepted.").waitFor();
    expect(await machine("herd-1")).toMatchObject({ cordoned: false });
    await board.button("Choose none", form).click();
    expect(await form.isVisible()).toBe(false);
    expect(await page.getByLabel("Choose herd-1").isChecked()).toBe(false);
  });

  it("are all chosen that the filter shows, and those that cannot be assigned are named before", async () => {
    const board = await room.enter();
    const { page } = board;
    await page.getByRole("searchbox", { name: "Filter machines" }).fill("herd-");
    await board.button("Choose all of them").click();
    const form = page.getByRole("form", { name: "Order for the chosen machines" });
    await form.getByText("3 machines chosen").waitFor();
    await form.getByLabel("Model for all of them").selectOption("herded");
    await board.button("Order", form).click();
    await board.question.getByText("Assign 2 machines to herded?").waitFor();
    await board.question.getByText('1 cannot: herd-3 (machine "herd-3" does not have').waitFor();
    await board.button("Assign", board.question).click();
    await form.getByText("2 accepted. 1 refused: herd-3").waitFor();
    for (const id of ["herd-1", "herd-2"])
      expect(await machine(id)).toMatchObject({ assigned_model: "herded" });

    // Nobody is asked about what nobody can have.
    await board.button("Choose none", form).click();
    await page.getByLabel("Choose herd-3").check();
    await board.button("Order", form).click();
    await form.getByText("No machine can have this order.").waitFor();
    expect(await board.question.isVisible()).toBe(false);
    await board.button("Choose none", form).click();
    await board.button("Choose all of them").click();
    await form.getByLabel("Order for all of them").selectOption("release");
    await board.button("Order", form).click();
    await board.button("Release", board.question).click();
    await form.getByText("3 accepted.").waitFor();
    expect(await machine("herd-1")).toMatchObject({ assigned_model: null });
  });
});
