import { spawnSync } from "node:child_process";
import { existsSync, globSync, readFileSync, statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

import { describe, expect, it } from "vitest";

import { FLAG_NAMES, INITIAL_TEXTS, takenBy, type FlagName } from "../../core/flags.ts";
import { HELP as PROVIDER_HELP } from "../../provider/src/options/help.ts";
import { HELP as START_HELP } from "../../scripts/options.ts";

/** Every page links to what is there, names files that exist, and lists what the code has, no more and no less. */

const root = new URL("../../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), "utf8");

const isOurs = (path: string): boolean => !path.includes("node_modules") && !path.startsWith(".");
const pages = globSync("**/*.md", { cwd: root }).filter(isOurs);

/** Without blocks of code, where brackets and hashes mean something else. */
const proseOf = (page: string): string => read(page).replaceAll(/^ *```.*?^ *```$/gms, "");

/** As GitHub names headings: of equal ones the second and later get a number. */
function anchorsOf(page: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of proseOf(page).matchAll(/^#+ (.+)$/gm)) {
    const anchor = heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_\- ]/gu, "")
      .replaceAll(" ", "-");
    let unique = anchor;
    for (let count = 1; anchors.has(unique); count++) unique = `${anchor}-${count}`;
    anchors.add(unique);
  }
  return anchors;
}

describe("links", () => {
  it("are looked for on all pages", () => {
    expect(pages).toEqual(
      expect.arrayContaining(["README.md", "docs/rules.md", "simulator/placement/examples/README.md"]),
    );
  });

  it.each(pages)("of %s lead to files and headings that are there", (page) => {
    const links = [...proseOf(page).matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)];
    const broken = links.filter(([, path = "", anchor]) => {
      const target = path === "" ? page : new URL(path, new URL(page, "file:///")).pathname.slice(1);
      if (!existsSync(new URL(target, root))) return true;
      if (anchor === undefined) return false;
      return statSync(new URL(target, root)).isDirectory() || !anchorsOf(target).has(anchor);
    });
    expect(broken.map(([link]) => link)).toEqual([]);
  });

  it("lead to every page of docs/ from its index", () => {
    const index = read("docs/README.md");
    const missing = pages.filter(
      (page) => page.startsWith("docs/") && !index.includes(`(${page.slice("docs/".length)}`),
    );
    expect(missing).toEqual(["docs/README.md"]);
  });

  const sources = globSync(
    "{core,protocol,durable-objects,worker,provider,scripts,simulator,bench}/**/*.ts",
    {
      cwd: root,
    },
  ).filter(isOurs);

  it("from code lead to pages that are there", () => {
    const named = sources.flatMap((source) =>
      [...read(source).matchAll(/\b(?:docs|provider|models)\/[\w/-]+\.md\b/g)].map(([page]) => page),
    );
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((page) => !pages.includes(page))).toEqual([]);
  });
});

describe("what pages name", () => {
  const folders = globSync("*/", { cwd: root }).filter(isOurs);

  it.each(pages)("in %s: files and folders that exist", (page) => {
    const paths = [...read(page).matchAll(/`([\w-]+\/[\w./-]*)`/g)].map(([, path = ""]) => path);
    const ours = paths.filter((path) => folders.includes(path.split("/")[0] ?? ""));
    const here = new URL(page, root);
    const missing = ours.filter(
      (path) => !existsSync(new URL(path, root)) && !existsSync(new URL(path, here)),
    );
    expect(missing).toEqual([]);
  });

  it("are commands of npm that there are", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    const provider = JSON.parse(read("provider/package.json")) as { scripts: Record<string, string> };
    const known = new Set([...Object.keys(scripts), ...Object.keys(provider.scripts)]);
    const named = pages.flatMap((page) =>
      [...read(page).matchAll(/\bnpm run ([\w:]+)/g)].map(([, name = ""]) => name),
    );
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((name) => !known.has(name))).toEqual([]);
  });

  it("are the versions that are installed", () => {
    const versions = new Map(["package.json", "provider/package.json"].flatMap((path) => versionsIn(path)));
    const [run = ""] = sectionOf("docs/compatibility.md", "## What was run").split("\nBy hand");
    const clients = [...run.matchAll(/`([@\w/-]+)` (\d+\.\d+\.\d+)/g)].map(([, name, version]) => [
      name,
      version,
    ]);
    const pinned = rowsOf(sectionOf("docs/decisions/0004-pinned-versions.md", "## Decision"));
    expect([clients.length > 8, pinned.length > 3]).toEqual([true, true]);
    for (const [name = "", version] of [...clients, ...pinned]) {
      expect(`${name} ${version}`).toBe(`${name} ${versions.get(name)}`);
    }
  });

  it("are the numbers of the last benchmarks, on the page about admission", () => {
    const page = read("docs/admission.md").replaceAll(/\s+/g, " ");
    const measured = (pattern: RegExp): string[] => pattern.exec(read("docs/benchmarks.md"))?.slice(1) ?? [];
    const [many = "", few = ""] = measured(/24 cached: ([\d., ]+); 4 cached: ([\d., ]+) \(/);
    const paces = rowsOf(sectionOf("docs/admission.md", "## Conversations")).map((cells) =>
      cells.slice(1).join(", "),
    );
    expect(paces).toEqual([few, many]);
    const [cached, hits, fresh] = measured(/ (\d+) ms with (\d+) of \d+ tokens cached, beside (\d+) ms/);
    expect(page).toContain(
      `finds ${hits} of them cached, and its first token comes after ${cached} ms instead of ${fresh}`,
    );
    const steady = measured(
      /steady: .*? first token p50 \d+ ms, then ([\d.]+), ([\d.]+), ([\d.]+) times/,
    ).toSorted();
    expect(page).toContain(`${steady.at(0)} to ${steady.at(-1)} times that of a half-empty pool`);
  });

  it("names no metric that there is not, in the rules for Prometheus", () => {
    const known = read("core/metrics.ts") + read("core/prometheus.ts");
    const named = [...read("docs/operations.md").matchAll(/\bpoolkeeper_\w+/g)].map(([name]) => name);
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((name) => name !== "poolkeeper_requests" && !known.includes(`"${name}"`))).toEqual(
      [],
    );
  });
});

function versionsIn(path: string): [string, string][] {
  const manifest = JSON.parse(read(path)) as Record<string, Record<string, string> | undefined>;
  return Object.entries({ ...manifest["dependencies"], ...manifest["devDependencies"] });
}

describe("blocks of code", () => {
  const blocksOf = (page: string, language: string): string[] => {
    const blocks = read(page).matchAll(/^ *```(\w+)\n(.*?)^ *```$/gms);
    return [...blocks].filter(([, named]) => named === language).map(([, , text = ""]) => text);
  };

  it.each(pages)("of %s parse: JSON, and commands for a shell", (page) => {
    for (const text of blocksOf(page, "json")) expect((): unknown => JSON.parse(text), text).not.toThrow();
    const { status, stderr } = spawnSync("bash", ["-n"], {
      input: blocksOf(page, "sh").join("\n"),
      encoding: "utf8",
    });
    expect([status, stderr]).toEqual([0, ""]);
  });
});

/** The text below a heading, up to the next one that is not below it. */
function sectionOf(page: string, heading: string): string {
  const [, level = ""] = /^(#+) /.exec(heading) ?? [];
  const [, after = ""] = read(page).split(`\n${heading}\n`);
  return after.split(new RegExp(`\n#{1,${level.length}} `))[0] ?? "";
}

/** The cells of all tables in a text, without ticks, without the head of each table and the line below it. */
function rowsOf(text: string): string[][] {
  const lines = text.split("\n").map((line) => line.trim());
  const isRow = (line: string, index: number): boolean =>
    line.startsWith("| ") && !line.startsWith("| ---") && lines[index + 1]?.startsWith("| ---") !== true;
  const rows = lines.filter(isRow);
  return rows.map((line) => line.split(" | ").map((cell) => cell.replaceAll(/[|`]/g, "").trim()));
}

const firstCells = (text: string): string[] => rowsOf(text).map(([cell = ""]) => cell);

/** The words in ticks in the first cells: a row may stand for several. */
function firstWords(text: string): string[] {
  const cells = [...text.matchAll(/^\| ((?:`[a-z_0-9]+`(?:, )?)+) +\|/gm)].map(([, cell = ""]) => cell);
  return cells.flatMap((cell) => [...cell.matchAll(/`(\w+)`/g)].map(([, word = ""]) => word));
}

/** The members of a union of texts, as a file declares it. */
function unionOf(path: string, name: string): string[] {
  const [, declared = ""] = new RegExp(`type ${name} =\n(.*?);\n`, "s").exec(read(path)) ?? [];
  return [...declared.matchAll(/^ +\| "(\w+)"/gm)].map(([, member = ""]) => member);
}

describe("lists on pages", () => {
  it("have each event that the coordinator logs, and no other", () => {
    const sources = globSync("{core,durable-objects,worker}/**/*.ts", { cwd: root }).map(read).join("\n");
    const logged = [...sources.matchAll(/\blog(?:Warning|Error)\(\s*"(\w+)"/g)].map(([, event]) => event);
    const listed = firstWords(sectionOf("docs/storage.md", "## Logs"));
    expect(listed.toSorted()).toEqual([...new Set(logged)].toSorted());
  });

  it("have each flag with its initial value and what it may be set to", () => {
    const rows = rowsOf(sectionOf("docs/admin-api.md", "## Flags"));
    const listed = rows.map(([name = "", values = ""]) => `${name}: ${values}`);
    expect(listed.toSorted()).toEqual(FLAG_NAMES.map((name) => `${name}: ${valuesOf(name)}`).toSorted());
  });

  it("have each address of the operators' API", () => {
    const routes = read("worker/routes/admin.ts") + read("worker/routes/counts.ts");
    const addresses = [...routes.matchAll(/\.(?:route|get|post|put|patch|delete)\("\/([a-z/-]+)"/g)];
    expect(addresses.length).toBeGreaterThan(10);
    const listed = sectionOf("docs/admin-api.md", "## Routes");
    const named = addresses.map(([, address = ""]) => address);
    expect(named.filter((address) => !listed.includes(`/v1/admin/${address}`))).toEqual([]);
    // Whose parameters nobody has named may be misspelled unnoticed.
    const parameters = read("worker/routes/parameters.ts");
    const first = named.map((address) => address.split("/")[0] ?? "");
    expect(first.filter((part) => !new RegExp(`^  "?${part}"?: \\[`, "m").test(parameters))).toEqual([]);
  });

  it("have each error code under its status", () => {
    const codes = [...read("core/api-error.ts").matchAll(/^ {2}(\w+): \{ status: (\d+),/gm)];
    expect(codes.length).toBeGreaterThan(30);
    const section = sectionOf("docs/http-api.md", "## Errors");
    const listed = new Map(rowsOf(section).map(([status, code]) => [code, status]));
    const misplaced = codes.filter(([, code, status]) => {
      const under = listed.get(code);
      return under === undefined ? !section.includes(`\`${code}\``) : under !== "event" && under !== status;
    });
    expect(misplaced.map(([, code]) => code)).toEqual([]);
    expect([...listed.keys()].filter((code) => !codes.some(([, known]) => known === code))).toEqual([]);
  });

  it("have each gate of routing, in its order", () => {
    const path = "core/pool/gate.ts";
    const [, code = ""] = read(path).split("export function routableGate");
    const placeOf = (gate: string): number => code.indexOf(`"${gate}"`);
    const gates = unionOf(path, "GateReason");
    const rooms = [...(/type RoomReason = (.*);/.exec(read(path))?.[1] ?? "").matchAll(/\w+/g)].map(
      ([room]) => room,
    );
    expect([gates.length > 10, rooms.length > 2]).toEqual([true, true]);
    const listed = firstWords(sectionOf("docs/architecture.md", "## How a chat request is served"));
    const checked = [...gates, ...rooms].filter((gate) => placeOf(gate) >= 0);
    expect(listed.filter((gate) => checked.includes(gate))).toEqual(
      checked.toSorted((one, other) => placeOf(one) - placeOf(other)),
    );
    const explained = firstWords(sectionOf("docs/http-api.md", "## Why a machine is idle"));
    expect(gates.filter((gate) => !listed.includes(gate) || !explained.includes(gate))).toEqual([]);
  });

  it("have each reason of the planner", () => {
    const types = "core/placement/types.ts";
    const reasons = [...unionOf(types, "MoveReason"), ...unionOf(types, "StayReason")];
    expect(reasons.length).toBeGreaterThan(15);
    expect(firstWords(sectionOf("docs/placement.md", "## Reasons")).toSorted()).toEqual(reasons.toSorted());
  });

  it("have each metric with its type", () => {
    const declared = [
      ...read("core/metrics.ts").matchAll(/(counter|gauge|histogram)\(\s*"(poolkeeper_\w+)"/g),
    ];
    const listed = rowsOf(sectionOf("docs/admin-api.md", "## Metrics")).map(
      ([name = "", type]) => `${name.split("{")[0]} ${type}`,
    );
    expect(listed.toSorted()).toEqual(declared.map(([, type, name]) => `${name} ${type}`).toSorted());
  });

  it.each([
    ["npm start", START_HELP, "README.md", "## Run it"],
    ["the provider", PROVIDER_HELP, "provider/README.md", "### All flags"],
  ])("have each option of %s", (_program, help, page, heading) => {
    const options = [...help.matchAll(/^ {2}(--[a-z-]+)/gm)].map(([, option = ""]) => option);
    const listed = firstCells(sectionOf(page, heading)).map((cell) => cell.split(" ")[0] ?? "");
    expect(listed.toSorted()).toEqual(options.filter((option) => option !== "--help").toSorted());
  });

  it.each([
    ["POOL_MIGRATIONS", "## SQLite of a `ModelPool`"],
    ["FLEET_MIGRATIONS", "## SQLite of `Fleet`"],
  ] as const)("have each table and column of %s", (list, heading) => {
    const section = sectionOf("docs/storage.md", heading);
    const database = new DatabaseSync(":memory:");
    for (const statement of migrationsOf(list)) database.exec(statement);
    const columns = database
      .prepare(
        "SELECT m.name AS tableName, c.name AS columnName FROM sqlite_master m, pragma_table_info(m.name) c",
      )
      .all();
    expect(columns.length).toBeGreaterThan(20);
    // Of a table with one row of JSON the page says what the JSON holds.
    const names = columns.flatMap(({ tableName, columnName }) =>
      columnName === "id" || columnName === "json" ? [tableName] : [tableName, columnName],
    );
    expect([...new Set(names)].filter((name) => !section.includes(`\`${String(name)}\``))).toEqual([]);
  });
});

/** The words of a flag's row in the table of the admin API. */
function valuesOf(name: FlagName): string {
  const takes = takenBy(name);
  const initial = INITIAL_TEXTS[name];
  if ("choices" in takes) {
    return [initial, ...takes.choices.filter((choice) => choice !== initial)].join(", ");
  }
  if ("min" in takes) return `${initial}; ${takes.min} to ${takes.max.toLocaleString("en-US")}`;
  return TEXT_VALUES[initial] ?? "";
}

/** Of flags that take a text, by their initial value. */
const TEXT_VALUES: Readonly<Record<string, string>> = {
  none: "none, or a version",
  "0.6.18": "0.6.18; a version",
  "": "empty; ids with commas",
};

/** The statements of a list of migrations, read as text: the file compiles only with the types of Workers. */
function migrationsOf(list: string): string[] {
  const [, body = ""] =
    new RegExp(`const ${list}: .*? = \\[(.*?)\n\\];`, "s").exec(
      read("durable-objects/storage/migrations.ts"),
    ) ?? [];
  const withoutComments = body.replaceAll(/^ *\/\/.*$/gm, "");
  return [...withoutComments.matchAll(/^ {2}(?:"([^"]*)"|`([^`]*)`),$/gm)].map(
    ([, one, other]) => one ?? other ?? "",
  );
}
