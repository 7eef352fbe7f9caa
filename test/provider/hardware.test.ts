import { describe, expect, it } from "vitest";

import { hardwareSchema } from "../../protocol/upstream.ts";
import {
  describeChip,
  isTranslated,
  readHardware,
  readVitals,
  runProgram,
  thermalStateOf,
  type RunProgram,
} from "../../provider/src/hardware.ts";

/** A Mac made of what its programs print; a program that is not listed fails. */
const mac =
  (printed: Readonly<Record<string, string>>): RunProgram =>
  (file) =>
    Promise.resolve(printed[file.split("/").at(-1) ?? ""] ?? null);

describe("a Mac", () => {
  it("is described by sysctl and system_profiler", async () => {
    const run = mac({
      sysctl: "hw.memsize: 103079215104\nhw.model: Mac15,14\nmachdep.cpu.brand_string: Apple M3 Ultra\n",
      system_profiler: JSON.stringify({ SPDisplaysDataType: [{ _name: "x" }, { sppci_cores: "60" }] }),
    });
    expect(await readHardware("darwin", run)).toEqual({
      machine_model: "Mac15,14",
      chip_name: "Apple M3 Ultra",
      chip_family: "M3",
      chip_tier: "Ultra",
      memory_gb: 103.1,
      gpu_cores: 60,
      memory_bandwidth_gbs: 819,
    });
  });

  it("whose programs all fail is still described", async () => {
    expect(hardwareSchema.safeParse(await readHardware("darwin", mac({}))).success).toBe(true);
    expect(await readHardware("darwin", mac({ system_profiler: "{not json" }))).toMatchObject({
      gpu_cores: 0,
    });
  });

  it.each([
    ["Apple M1", 8, "M1", "base", 68],
    ["Apple M3 Max", 30, "M3", "Max", 300],
    ["Apple M3 Max", 40, "M3", "Max", 400],
    ["Apple M4 Pro", 20, "M4", "Pro", 273],
    ["Apple M9 Ultra", 99, "M9", "Ultra", 0],
    ["Intel(R) Core(TM) i9", 0, "", "", 0],
  ])("with the chip %s and %i GPU cores", (name, cores, family, tier, gbs) => {
    expect(describeChip(name, cores)).toEqual({
      chip_name: name,
      chip_family: family,
      chip_tier: tier,
      memory_bandwidth_gbs: gbs,
    });
  });

  it.each([
    ["1", "75", "0", 0.25, "nominal"],
    ["2", "40", "1", 0.85, "fair"],
    ["4", "2", "2", 0.98, "serious"],
    ["1", "90", "3", 0.1, "critical"],
  ])("at pressure level %s with %s %% free", async (level, free, thermal, pressure, state) => {
    const run = mac({
      sysctl: `kern.memorystatus_vm_pressure_level: ${level}\nkern.memorystatus_level: ${free}\n`,
      notifyutil: `com.apple.system.thermalpressurelevel ${thermal}\n`,
    });
    const vitals = await readVitals("darwin", run);
    expect(vitals.memoryPressure).toBeCloseTo(pressure, 5);
    expect(vitals.thermalState).toBe(state);
    expect(vitals.memoryFreeGb).toBeGreaterThan(0);
  });

  it("that says nothing is taken for well", async () => {
    expect(await readVitals("darwin", mac({}))).toMatchObject({ memoryPressure: 0, thermalState: "nominal" });
    expect(thermalStateOf("nonsense")).toBe("nominal");
  });
});

describe("this machine", () => {
  it("is described in a form that the coordinator accepts", async () => {
    const hardware = await readHardware(process.platform);
    expect(hardwareSchema.parse(hardware)).toEqual(hardware);
  });

  it("has vitals within their limits", async () => {
    const { memoryFreeGb, memoryPressure } = await readVitals(process.platform);
    expect(memoryFreeGb).toBeGreaterThan(0);
    expect(memoryPressure).toBeGreaterThanOrEqual(0);
    expect(memoryPressure).toBeLessThanOrEqual(1);
  });
});

describe("an Intel build of Node", () => {
  it("is noticed on Apple silicon", async () => {
    expect(await isTranslated("darwin", "x64", mac({ sysctl: "sysctl.proc_translated: 1\n" }))).toBe(true);
    expect(await isTranslated("darwin", "x64", mac({ sysctl: "hw.optional.arm64: 1\n" }))).toBe(true);
  });

  it("is right on an Intel Mac, and elsewhere nobody's business", async () => {
    expect(await isTranslated("darwin", "x64", mac({}))).toBe(false);
    expect(await isTranslated("linux", "x64", mac({ sysctl: "hw.optional.arm64: 1\n" }))).toBe(false);
    expect(await isTranslated("darwin", "arm64", mac({ sysctl: "hw.optional.arm64: 1\n" }))).toBe(false);
  });
});

it("is asked programs that may not be there, or cannot even be started", async () => {
  expect(await runProgram(process.execPath, ["-p", "40 + 2"])).toBe("42\n");
  expect(await runProgram("/no/such/program", [])).toBeNull();
  expect(await runProgram("/bin/sh\0", [])).toBeNull();
});
