import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { FlagName } from "../../core/flags.ts";
import { DemoFlags } from "../../scripts/demo-flags.ts";

/** A coordinator's flags, and the order in which they were written. */
function someFlags(values: Partial<Record<FlagName, string>>) {
  const written: string[] = [];
  return {
    values,
    written,
    flag: (name: FlagName) => Promise.resolve(values[name] ?? ""),
    setFlag: (name: FlagName, value: string) => {
      values[name] = value;
      written.push(`${name}=${value}`);
      return Promise.resolve();
    },
  };
}

describe("the flags of the demo", () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "poolkeeper-flags-"));
    file = join(folder, "demo-flags.json");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("come back as the operator had them, not as they are at first, and in reverse order", async () => {
    const calls = someFlags({ assignment_gate: "off", tick_seconds: "10", placement: "off" });
    const flags = new DemoFlags(calls, file);
    await flags.set("assignment_gate", "on");
    await flags.set("tick_seconds", "5");
    await flags.set("placement", "shadow");
    await flags.set("placement", "enforce");
    calls.written.length = 0;
    await flags.giveBack();
    await flags.giveBack();
    expect(calls.written).toEqual(["placement=off", "tick_seconds=10", "assignment_gate=off"]);
    expect(existsSync(file)).toBe(false);
  });

  it("come back at the next start if the demo was broken off, once", async () => {
    const calls = someFlags({ placement: "off", tick_seconds: "10" });
    const brokenOff = new DemoFlags(calls, file);
    await brokenOff.set("tick_seconds", "5");
    await brokenOff.set("placement", "enforce");
    await new DemoFlags(calls, file).giveBack();
    expect(calls.values).toEqual({ placement: "off", tick_seconds: "10" });
    calls.values.placement = "shadow";
    await new DemoFlags(calls, file).giveBack();
    expect(calls.values).toEqual({ placement: "shadow", tick_seconds: "10" });
  });

  it("stay as they are if the file is damaged", async () => {
    const calls = someFlags({ placement: "enforce" });
    writeFileSync(file, '[["placement"');
    await new DemoFlags(calls, file).giveBack();
    expect(calls.written).toEqual([]);
    expect(existsSync(file)).toBe(false);
  });
});
