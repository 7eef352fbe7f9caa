import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

import { normal, poisson, type Random, randomFrom } from "../random.ts";

/**
 * Builds a week of the four families' traces from the measured ServeGen rates beside this file (requests a second per
 * ten minutes; two of the five models have one day only, which is repeated). Arrivals per minute are drawn from a
 * Poisson distribution around the interpolated rate, at the scale of the family's fleet file, so that the noise is
 * that of the demand the fleet will see. Usage: node make-families.ts FOLDER [seed]
 */
const WEEK = 7 * 1440;
const REQUESTS_PER_MACHINE = 40;
const SHARES = [0.45, 0.28, 0.15, 0.08, 0.04];
const BASES = ["m-large", "m-mid", "m-small", "deepseek-r1", "mm-image"];

type Curve = (minute: number) => number;

function curves(): Curve[] {
  const path = join(import.meta.dirname, "servegen-rates-10min.csv.gz");
  const lines = gunzipSync(readFileSync(path)).toString().trim().split("\n");
  const header = (lines[0] ?? "").split(",");
  return BASES.map((base) => {
    const column = header.indexOf(`${base}_rps`);
    const known = lines.slice(1).map((line) => line.split(",")[column] ?? "");
    const values: number[] = [];
    for (const cell of known) values.push(cell === "" ? (values.at(-1) ?? 0) : Number(cell));
    const length = known.findLastIndex((cell) => cell !== "") + 1;
    const mean = values.slice(0, length).reduce((sum, value) => sum + value, 0) / length;
    return (minute) => {
      const at = minute / 10;
      const before = values[Math.floor(at) % length] ?? 0;
      const after = values[(Math.floor(at) + 1) % length] ?? 0;
      return (before + (after - before) * (at - Math.floor(at))) / mean;
    };
  });
}

/** Requests per minute for each model: its share of load × machines, times its curve. */
function family(machines: number, load: number, shares: readonly number[], of: readonly Curve[]): Curve[] {
  return shares.map((share, model) => (minute) => {
    return share * load * machines * REQUESTS_PER_MACHINE * (of[model]?.(minute) ?? 0);
  });
}

/** Every eight hours each model takes the popularity of its neighbour, at once. */
function rotated(of: readonly Curve[]): Curve[] {
  return of.map((curve, model) => (minute) => {
    return (SHARES[(model + Math.floor(minute / 480)) % SHARES.length] ?? 0) * curve(minute);
  });
}

/** Single clients are rougher than their sum: a slow random walk around the curve, sd 0.5 in the logarithm, 3 hours. */
function rough(curve: Curve, random: Random): Curve {
  const keep = Math.exp(-1 / 180);
  let level = 0.5 * normal(random);
  const levels = Array.from({ length: WEEK }, () => {
    level = keep * level + 0.5 * Math.sqrt(1 - keep * keep) * normal(random);
    return Math.exp(level - 0.125);
  });
  return (minute) => curve(minute) * (levels[minute] ?? 1);
}

function csv(models: readonly string[], rates: readonly Curve[], random: Random): string {
  const lines = ["t_s,model,n,prompt_tokens,output_tokens"];
  for (let minute = 0; minute < WEEK; minute += 1) {
    for (const [model, name] of models.entries()) {
      const n = poisson(rates[model]?.(minute) ?? 0, random);
      lines.push(`${minute * 60},${name},${n},${n * 900},${n * 200}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

function main(folder: string, seed: number): void {
  const measured = curves();
  const tail = Array.from({ length: 16 }, (_, model) => `model-${String(model + 1).padStart(2, "0")}`);
  const zipf = tail.map((_, model) => 1 / (model + 1));
  const zipfSum = zipf.reduce((sum, weight) => sum + weight, 0);
  const random = randomFrom(seed);
  const clients = tail.map((_, model) => {
    const base = measured[model % 3] ?? (() => 1);
    return rough((minute) => base((minute + model * 397) % WEEK), random);
  });
  const ones = BASES.map(() => 1);
  const families: [string, readonly string[], Curve[]][] = [
    ["near-capacity", BASES, family(60, 0.92, SHARES, measured)],
    ["rotation", BASES, family(60, 0.85, ones, rotated(measured))],
    [
      "long-tail",
      tail,
      family(
        48,
        0.7,
        zipf.map((weight) => weight / zipfSum),
        clients,
      ),
    ],
    ["small-fleet", BASES, family(12, 0.77, SHARES, measured)],
  ];
  mkdirSync(folder, { recursive: true });
  for (const [name, models, rates] of families) {
    const path = join(folder, `${name}.csv.gz`);
    writeFileSync(path, gzipSync(csv(models, rates, random), { level: 9 }));
    console.log(path);
  }
}

const [folder, seed = "1"] = process.argv.slice(2);
if (folder === undefined) {
  console.error("Usage: node make-families.ts FOLDER [seed]");
  process.exitCode = 2;
} else main(folder, Number(seed));
