import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import { BROWSER_VARIABLE, findBrowser } from "./find-browser.ts";

/** Where the browser for the tests of the dashboard comes from. */

const folder = mkdtempSync(join(tmpdir(), "find-browser-"));
afterAll(() => rmSync(folder, { recursive: true }));

function program(...path: string[]): string {
  const file = join(folder, ...path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, "");
  chmodSync(file, 0o755);
  return file;
}

const one = program("one", "google-chrome");
const other = program("other", "chromium");
const application = program("Applications", "Google Chrome.app", "Contents", "MacOS", "Google Chrome");
const applications = [join(folder, "Applications")];
const PATH = `${join(folder, "none")}:${dirname(one)}:${dirname(other)}`;

describe("the browser", () => {
  it("is the one that is named, and that one only", () => {
    const env = { PATH, [BROWSER_VARIABLE]: one };
    expect(findBrowser(env, applications)).toEqual({ path: one, isNamed: true });
    env[BROWSER_VARIABLE] = join(folder, "none");
    expect(() => findBrowser(env, applications)).toThrow(/POOLKEEPER_BROWSER names .*none/);
  });

  it("is else Chromium or Chrome from the path, or what macOS has among its applications", () => {
    expect(findBrowser({ PATH }, applications)).toEqual({ path: other, isNamed: false });
    expect(findBrowser({ PATH: dirname(one) }, applications)?.path).toBe(one);
    expect(findBrowser({}, applications)?.path).toBe(application);
  });

  it("need not be there, and need not be used", () => {
    expect(findBrowser({ PATH: "" }, [])).toBeNull();
    expect(findBrowser({ PATH, [BROWSER_VARIABLE]: "" }, applications)).toBeNull();
  });
});
