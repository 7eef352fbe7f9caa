import { type BrowserServer, chromium } from "playwright-core";
import type { TestProject } from "vitest/node";

import { type DevFile, Stack } from "../end-to-end/stack.ts";
import { BROWSER_VARIABLE, findBrowser } from "./find-browser.ts";

/**
 * One browser for all tests of the dashboard, and one coordinator for each worker that runs them: files that run at the
 * same time do not meet. A machine without a browser skips them: it is no reason for the other tests to fail.
 */

export interface Stage {
  /** A coordinator for each of Vitest's workers. */
  readonly coordinators: readonly DevFile[];
  /** By which the browser is reached. */
  readonly browser: string;
}

declare module "vitest" {
  export interface ProvidedContext {
    readonly stage: Stage | null;
  }
}

/** Without the sandbox it also runs as root, as in a container; it sees nothing but this coordinator's page. */
const SWITCHES = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"];

export default async function prepare(project: TestProject): Promise<() => Promise<void>> {
  const opened = await openBrowser();
  if (typeof opened === "string") {
    project.provide("stage", null);
    return () => Promise.resolve(project.vitest.logger.log(opened));
  }
  const stacks = Array.from({ length: project.config.maxWorkers }, () => new Stack());
  const end = async (): Promise<void> => {
    await Promise.all([opened.close(), ...stacks.map((stack) => stack.stop())]);
  };
  try {
    await Promise.all(stacks.map((stack) => stack.startCoordinator()));
  } catch (error) {
    await end();
    throw error;
  }
  project.provide("stage", { coordinators: stacks.map(({ dev }) => dev), browser: opened.wsEndpoint() });
  return end;
}

/** @returns why there is none, if there is none */
async function openBrowser(): Promise<BrowserServer | string> {
  const found = findBrowser(process.env);
  if (found === null) return skipped("no browser was found");
  try {
    return await chromium.launchServer({ executablePath: found.path, args: SWITCHES });
  } catch (error) {
    if (found.isNamed) throw error;
    return skipped(`${found.path} does not start`);
  }
}

function skipped(why: string): string {
  return (
    `The dashboard's tests were skipped, since ${why}. Install Chromium, or name a browser: ` +
    `${BROWSER_VARIABLE}=/path/to/chrome npm test -- --project dashboard`
  );
}
