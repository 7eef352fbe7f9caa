import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, freemem, totalmem } from "node:os";

import { z } from "zod";

import type { Hardware } from "../../protocol/upstream.ts";
import type { Vitals } from "./agent/ports.ts";

/**
 * Hardware and vitals of this machine. The coordinator uses them as hints only, so what cannot be determined is left out or
 * reported as normal, and nothing here throws.
 */

/** Runs a program and returns what it printed; null if it failed or took too long. */
export type RunProgram = (file: string, args: readonly string[]) => Promise<string | null>;

const BYTES_PER_GB = 1e9;
const PROGRAM_TIMEOUT_MS = 15_000;
const NORMAL: Vitals = { memoryFreeGb: 0, memoryPressure: 0, thermalState: "nominal" };

/** Memory bandwidth in GB/s, by family and tier. Where the number of GPU cores decides, the smaller chip comes first. */
const BANDWIDTH_GBS: Readonly<
  Record<string, readonly { readonly upToCores: number; readonly gbs: number }[]>
> = {
  M1: [{ upToCores: 99, gbs: 68 }],
  "M1 Pro": [{ upToCores: 99, gbs: 200 }],
  "M1 Max": [{ upToCores: 99, gbs: 400 }],
  "M1 Ultra": [{ upToCores: 99, gbs: 800 }],
  M2: [{ upToCores: 99, gbs: 100 }],
  "M2 Pro": [{ upToCores: 99, gbs: 200 }],
  "M2 Max": [{ upToCores: 99, gbs: 400 }],
  "M2 Ultra": [{ upToCores: 99, gbs: 800 }],
  M3: [{ upToCores: 99, gbs: 100 }],
  "M3 Pro": [{ upToCores: 99, gbs: 150 }],
  "M3 Max": [
    { upToCores: 30, gbs: 300 },
    { upToCores: 99, gbs: 400 },
  ],
  "M3 Ultra": [{ upToCores: 99, gbs: 819 }],
  M4: [{ upToCores: 99, gbs: 120 }],
  "M4 Pro": [{ upToCores: 99, gbs: 273 }],
  "M4 Max": [
    { upToCores: 32, gbs: 410 },
    { upToCores: 99, gbs: 546 },
  ],
  M5: [{ upToCores: 99, gbs: 153 }],
  "M5 Pro": [{ upToCores: 99, gbs: 307 }],
  "M5 Max": [
    { upToCores: 32, gbs: 460 },
    { upToCores: 99, gbs: 614 },
  ],
};

export async function readHardware(
  platform: NodeJS.Platform,
  run: RunProgram = runProgram,
): Promise<Hardware> {
  return platform === "darwin" ? readMac(run) : readLinux();
}

async function readMac(run: RunProgram): Promise<Hardware> {
  const [facts, displays] = await Promise.all([
    run("/usr/sbin/sysctl", ["hw.memsize", "hw.model", "machdep.cpu.brand_string"]),
    run("/usr/sbin/system_profiler", ["SPDisplaysDataType", "-json"]),
  ]);
  const values = parseSysctl(facts ?? "");
  const chip = values.get("machdep.cpu.brand_string") ?? "";
  const bytes = Number(values.get("hw.memsize"));
  const gpuCores = gpuCoresOf(displays ?? "");
  return {
    machine_model: values.get("hw.model") ?? "Mac",
    ...describeChip(chip, gpuCores),
    memory_gb: toGb(bytes > 0 ? bytes : totalmem()),
    gpu_cores: gpuCores,
  };
}

function readLinux(): Hardware {
  const chip = cpus()[0]?.model.trim() ?? "";
  return {
    machine_model: readText("/sys/class/dmi/id/product_name")?.trim().slice(0, 200) ?? "Linux",
    ...describeChip(chip, 0),
    memory_gb: toGb(totalmem()),
    gpu_cores: 0,
  };
}

/** Family, tier and bandwidth of a chip from its name, such as `Apple M3 Ultra`. */
export function describeChip(
  name: string,
  gpuCores: number,
): Pick<Hardware, "chip_name" | "chip_family" | "chip_tier" | "memory_bandwidth_gbs"> {
  const match = /^Apple (M\d+)(?: (Pro|Max|Ultra))?$/.exec(name);
  const family = match?.[1] ?? "";
  const tier = match?.[2] ?? "";
  const speeds = BANDWIDTH_GBS[`${family} ${tier}`.trim()] ?? [];
  const speed = speeds.find(({ upToCores }) => gpuCores <= upToCores);
  return {
    chip_name: name.slice(0, 200),
    chip_family: family,
    chip_tier: match !== null && tier === "" ? "base" : tier,
    memory_bandwidth_gbs: speed?.gbs ?? 0,
  };
}

const displaysSchema = z.object({
  SPDisplaysDataType: z.array(z.object({ sppci_cores: z.string().optional() })),
});

function gpuCoresOf(displays: string): number {
  let json: unknown;
  try {
    json = JSON.parse(displays);
  } catch {
    return 0;
  }
  const parsed = displaysSchema.safeParse(json);
  if (!parsed.success) return 0;
  for (const { sppci_cores } of parsed.data.SPDisplaysDataType) {
    const cores = Number(sppci_cores);
    if (Number.isInteger(cores) && cores > 0) return cores;
  }
  return 0;
}

/** Current memory and temperature. */
export async function readVitals(platform: NodeJS.Platform, run: RunProgram = runProgram): Promise<Vitals> {
  return platform === "darwin" ? readMacVitals(run) : readLinuxVitals();
}

async function readMacVitals(run: RunProgram): Promise<Vitals> {
  const [memory, thermal] = await Promise.all([
    run("/usr/sbin/sysctl", ["kern.memorystatus_vm_pressure_level", "kern.memorystatus_level"]),
    run("/usr/bin/notifyutil", ["-g", "com.apple.system.thermalpressurelevel"]),
  ]);
  const values = parseSysctl(memory ?? "");
  // The level is the percentage of memory that is free or can be freed at once. os.freemem() leaves the latter out.
  const level = Number(values.get("kern.memorystatus_level") ?? Number.NaN);
  const free = level >= 0 && level <= 100 ? level / 100 : null;
  return {
    memoryFreeGb: toGb(free === null ? freemem() : free * totalmem()),
    memoryPressure: Math.max(
      free === null ? 0 : 1 - free,
      pressureFloor(values.get("kern.memorystatus_vm_pressure_level")),
    ),
    thermalState: thermalStateOf(thermal ?? ""),
  };
}

/** What Activity Monitor colours yellow or red counts as pressure whatever the percentage says. */
function pressureFloor(level: string | undefined): number {
  if (level === "4") return 0.98;
  return level === "2" ? 0.85 : 0;
}

/** Reads `com.apple.system.thermalpressurelevel 1`: 0 nominal, 1 moderate, 2 heavy, 3 trapping, 4 sleeping. */
export function thermalStateOf(printed: string): Vitals["thermalState"] {
  const level = Number(/thermalpressurelevel\s+(\d+)/.exec(printed)?.[1] ?? 0);
  if (level >= 3) return "critical";
  if (level === 2) return "serious";
  return level === 1 ? "fair" : "nominal";
}

function readLinuxVitals(): Vitals {
  const total = totalmem();
  const available = Number(/^MemAvailable:\s+(\d+) kB/m.exec(readText("/proc/meminfo") ?? "")?.[1]) * 1024;
  const free = available > 0 ? available : freemem();
  return {
    memoryFreeGb: toGb(free),
    memoryPressure: Math.min(1, Math.max(0, 1 - free / total)),
    thermalState: "nominal",
  };
}

/** Reads vitals again and again; the returned object knows the newest. */
export function watchVitals(
  platform: NodeJS.Platform,
  intervalMs: number,
): { newest: () => Vitals; stop: () => void } {
  let newest = NORMAL;
  let isReading = false;
  const read = async (): Promise<void> => {
    // A Mac under pressure answers slowly; programs must not pile up then.
    if (isReading) return;
    isReading = true;
    newest = await readVitals(platform);
    isReading = false;
  };
  void read();
  const timer = setInterval(() => void read(), intervalMs);
  timer.unref();
  return { newest: () => newest, stop: () => clearInterval(timer) };
}

/** Whether this Node is an Intel build that runs translated on Apple silicon, where the engine cannot use the GPU. */
export async function isTranslated(
  platform: NodeJS.Platform,
  arch: string,
  run: RunProgram = runProgram,
): Promise<boolean> {
  if (platform !== "darwin" || arch !== "x64") return false;
  const values = parseSysctl(
    (await run("/usr/sbin/sysctl", ["sysctl.proc_translated", "hw.optional.arm64"])) ?? "",
  );
  return values.get("sysctl.proc_translated") === "1" || values.get("hw.optional.arm64") === "1";
}

/** Reads lines of the form `name: value`. */
function parseSysctl(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split("\n")) {
    const at = line.indexOf(": ");
    if (at > 0) values.set(line.slice(0, at), line.slice(at + 2).trim());
  }
  return values;
}

/** sysctl prints what it knows and then fails for what it does not: what was printed counts. */
export function runProgram(file: string, args: readonly string[]): Promise<string | null> {
  return new Promise((resolve) => {
    try {
      execFile(
        file,
        [...args],
        { timeout: PROGRAM_TIMEOUT_MS, maxBuffer: 4 * 1024 * 1024 },
        (error, stdout) => resolve(error !== null && stdout === "" ? null : stdout),
      );
    } catch {
      // Some failures to start a program, such as too little memory, are thrown at once.
      resolve(null);
    }
  });
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

function toGb(bytes: number): number {
  return Math.round(bytes / (BYTES_PER_GB / 10)) / 10;
}
