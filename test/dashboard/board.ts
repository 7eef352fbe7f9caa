import { type Browser, type BrowserContext, chromium, type Locator, type Page } from "playwright-core";
import { expect, inject } from "vitest";

import type { AdminClient } from "../../scripts/admin-client.ts";
import { tinyModel } from "../../scripts/tiny-model.ts";
import { Stack, until } from "../end-to-end/stack.ts";
import { Puppet, type PuppetOptions } from "./puppet.ts";

/** The dashboard as an operator has it before them, in a real browser, from the real Worker. */

/** null on a machine without a browser. */
const stage = inject("stage");

export const hasBrowser = stage !== null;

/** Of the page, with the pools in trouble: other files of tests may have some on the coordinator that is shared. */
export const TITLE = /^(\(\d+\) )?Poolkeeper$/;

/** No test depends on speed: this only says when an element that is waited for is given up. */
const PATIENCE_MS = 60_000;

export interface BoardOptions {
  /** What the browser logs of what the test itself brings about, such as an answer 401. */
  readonly logs?: RegExp;
}

/** The browser and the machines of one file of tests. */
export class Room {
  readonly machines: Stack;
  readonly #endpoint: string;
  readonly #boards: Board[] = [];
  readonly #puppets: Puppet[] = [];
  #browser: Promise<Browser> | null = null;

  /** @param own a coordinator that is not shared with other files */
  constructor(own: Stack | null = null) {
    if (stage === null) throw new Error("there is no browser");
    this.#endpoint = stage.browser;
    const dev = stage.coordinators[Number(process.env["VITEST_POOL_ID"]) - 1];
    if (dev === undefined) throw new Error("this worker has no coordinator");
    this.machines = own ?? new Stack(dev);
  }

  get adminToken(): string {
    return this.machines.dev.admin_token;
  }

  get admin(): AdminClient {
    return this.machines.admin;
  }

  /** What the admin API gives, to be compared with what the page says. */
  async read<T>(path: string): Promise<T> {
    const headers = { authorization: `Bearer ${this.adminToken}` };
    const response = await fetch(`${this.machines.url}/v1/admin/${path}`, { headers });
    return (await response.json()) as T;
  }

  /** What another operator does. */
  async write(path: string, body: object): Promise<void> {
    const headers = { authorization: `Bearer ${this.adminToken}` };
    const url = `${this.machines.url}/v1/admin/${path}`;
    const response = await fetch(url, { method: "PUT", headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(await response.text());
  }

  /** Puts models that have room on each machine into the catalog. */
  async addModels(...models: readonly string[]): Promise<void> {
    await this.admin.addToCatalog(models.map(tinyModel));
  }

  /** A machine that does nothing but be there. */
  async addPuppet(machineId: string, models: readonly string[], more: PuppetOptions = {}): Promise<Puppet> {
    const { url } = this.machines;
    const puppet = new Puppet({ url, token: this.machines.dev.provider_token, machineId, models, ...more });
    this.#puppets.push(puppet);
    await puppet.registered;
    return puppet;
  }

  /** The login, in a tab that knows nothing of others. */
  async open({ logs = /(?!)/ }: BoardOptions = {}): Promise<Board> {
    this.#browser ??= chromium.connect(this.#endpoint);
    const browser = await this.#browser;
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    context.setDefaultTimeout(PATIENCE_MS);
    const board = new Board(context, await context.newPage(), logs);
    this.#boards.push(board);
    await board.page.goto(`${this.machines.url}/dashboard`);
    return board;
  }

  /** The fleet, as it is read after the login. */
  async enter(options: BoardOptions = {}): Promise<Board> {
    const board = await this.open(options);
    await board.logIn(this.adminToken);
    return board;
  }

  /** After each test: no page has logged what it should not have. */
  async closeBoards(): Promise<void> {
    for (const board of this.#boards.splice(0)) await board.close();
  }

  async leave(): Promise<void> {
    await (await this.#browser)?.close();
    for (const puppet of this.#puppets) puppet.close();
    await this.machines.stop();
  }
}

export class Board {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly #complaints: string[] = [];

  constructor(context: BrowserContext, page: Page, logs: RegExp) {
    this.context = context;
    this.page = page;
    page.on("pageerror", (error) => this.#complaints.push(String(error)));
    page.on("console", (message) => {
      const isComplaint = message.type() === "error" || message.type() === "warning";
      if (isComplaint && !logs.test(message.text())) this.#complaints.push(message.text());
    });
  }

  async logIn(token: string): Promise<void> {
    await this.page.getByLabel("Admin token", { exact: true }).fill(token);
    await this.button("Log in").click();
    await this.status.filter({ hasText: /^Updated/ }).waitFor();
  }

  get status(): Locator {
    return this.page.locator("#status");
  }

  button(name: string, within: Locator | Page = this.page): Locator {
    return within.getByRole("button", { name, exact: true });
  }

  /** The dialog that is open and has this title. */
  dialog(title: string): Locator {
    return this.page.locator("dialog[open]").filter({ has: this.page.getByRole("heading", { name: title }) });
  }

  /** The question that is asked before something is done. */
  get question(): Locator {
    return this.page.getByRole("alertdialog");
  }

  /** @param name how its head begins, up to a space */
  row(table: string, name: string): Locator {
    const head = this.page.getByRole("rowheader", { name: new RegExp(`^${name}( |$)`) });
    return this.page.getByRole("table", { name: table, exact: true }).getByRole("row").filter({ has: head });
  }

  async openMachine(id: string): Promise<Locator> {
    await this.button(id, this.page.locator("#machines")).click();
    const dialog = this.dialog(id);
    await dialog.getByRole("form", { name: "Orders" }).waitFor();
    return dialog;
  }

  /** The part of the page with keys and tokens, once their lists are there. */
  async goToKeys(): Promise<Locator> {
    const part = await this.#goTo("Keys", "keys");
    await part.getByText(/as of \d\d:/).waitFor();
    return part;
  }

  /** The part with the log of changes, once its newest are there. */
  async goToChanges(): Promise<Locator> {
    const part = await this.#goTo("Changes", "changes");
    await part.getByRole("rowheader").first().waitFor();
    return part;
  }

  async #goTo(name: string, id: string): Promise<Locator> {
    await this.page.getByRole("navigation").getByText(name).click();
    return this.page.locator(`#${id}`);
  }

  /** From now on, how often the page has read such a path of the API. */
  countReadings(path: RegExp): () => number {
    let readings = 0;
    this.page.on("request", (request) => {
      if (path.test(request.url())) readings += 1;
    });
    return () => readings;
  }

  /** In a window that has room for the first part of the page alone: the fleet was read, and all that follows from that. */
  async logInAtTop(token: string): Promise<void> {
    await this.page.setViewportSize({ width: 1280, height: 400 });
    await this.logIn(token);
    await this.button("Refresh").click();
    await this.row("Flags", "queue_max").waitFor();
    await this.page.waitForTimeout(300);
  }

  /** Reads the fleet anew until the page shows this. */
  async shows(what: Locator): Promise<void> {
    await until(async () => {
      if (await what.first().isVisible()) return true;
      // A dialog covers the button, and not what it does.
      await this.button("Refresh").dispatchEvent("click");
      await this.page.waitForTimeout(200);
      return null;
    });
  }

  /** Goes on with the Tab key until this has the focus. */
  async tabTo(target: Locator): Promise<void> {
    // A step takes several times as long if the element is found by its role each time.
    let found = await target.elementHandle();
    for (let presses = 0; presses < 300; presses += 1) {
      const focus = await found?.evaluate((element) => {
        if (element === document.activeElement) return "here";
        return element.isConnected ? "elsewhere" : "element replaced";
      });
      if (focus === "here") return;
      if (focus === "element replaced") found = await target.elementHandle();
      await this.page.keyboard.press("Tab");
    }
    throw new Error(`the Tab key never comes to ${String(target)}`);
  }

  async close(): Promise<void> {
    await this.context.close();
    expect(this.#complaints).toEqual([]);
  }
}
