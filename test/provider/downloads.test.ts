import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir, uptime } from "node:os";
import { dirname, join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { Clock, LogFields, OfferedModel } from "../../provider/src/agent/ports.ts";
import { fetchModels, ROUND_PAUSE_MS } from "../../provider/src/downloads/fetch-models.ts";
import { localSource, planDownloads } from "../../provider/src/downloads/plan.ts";
import type { DownloadPorts } from "../../provider/src/downloads/ports.ts";
import { describeProgress } from "../../provider/src/downloads/progress.ts";
import { STALL_MS } from "../../provider/src/downloads/request.ts";
import { findModels, type ModelSources, readSource } from "../../provider/src/models.ts";
import { DownloadClock } from "../support/download-clock.ts";
import { FileServer } from "../support/file-server.ts";

let directory: string;
let server: FileServer;
let clock: DownloadClock;
let controller: AbortController;
let logged: string[];
let ports: DownloadPorts;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "provider-downloads-"));
  server = await FileServer.start();
  clock = new DownloadClock();
  controller = new AbortController();
  logged = [];
  const write = (message: string, fields?: LogFields): void => {
    logged.push(`${message} ${JSON.stringify(fields ?? {})}`);
  };
  ports = {
    clock,
    random: () => 1,
    fetch,
    freeBytes: () => Promise.resolve(1e15),
    log: { info: write, warn: write, error: write },
    showProgress: null,
    hubToken: null,
    signal: controller.signal,
  };
});
afterEach(async () => {
  controller.abort();
  await server.stop();
  rmSync(directory, { recursive: true });
});

/** A model as far as its first bytes say. */
function model(length = 200_000, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  for (let index = 0; index < length; index += 1)
    bytes[index] = (index * 31 + seed * 17 + (index >> 8)) & 0xff;
  bytes.write(`GGUF\x03${"\0".repeat(19)}`, "latin1");
  return bytes;
}

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

interface More {
  readonly directories?: readonly string[];
  readonly ports?: Partial<DownloadPorts>;
  /** After how many rounds nothing more is waited for; 1 by default. */
  readonly rounds?: number;
}

/** What is offered after the first round, each model with its file. */
async function fetchAll(models: readonly string[], more: More = {}): Promise<Map<string, string>> {
  const found = await fetchFrom({ models, directories: more.directories ?? [], form: "files" }, more);
  return new Map(found.map(({ id, path }) => [id, path]));
}

async function fetchFrom(sources: ModelSources, more: More = {}, to = directory): Promise<OfferedModel[]> {
  const { here, coming } = planDownloads(sources, to);
  const offered = findModels(
    here,
    coming.map(({ id }) => id),
  ).models;
  const enough = new AbortController();
  const signal = AbortSignal.any([more.ports?.signal ?? controller.signal, enough.signal]);
  let rounds = 0;
  const whileRounds: Clock = {
    now: () => clock.now(),
    after: (delayMs, run) => {
      if (delayMs === ROUND_PAUSE_MS) rounds += 1;
      if (rounds === (more.rounds ?? 1)) enough.abort();
      return clock.after(delayMs, run);
    },
  };
  try {
    await fetchModels(
      coming,
      to,
      { ...ports, clock: whileRounds, ...more.ports, signal },
      {
        isServing: () => offered.length > 0,
        onWhole: (whole) => void offered.push(readSource(localSource(whole), sources.form)),
        onBegin: () => undefined,
        onTrouble: ({ id }, { message }, isFinal) => {
          logged.push(`${isFinal ? "never" : "later"} ${id}: ${message}`);
        },
      },
    );
  } catch (cause) {
    if (!enough.signal.aborted) throw cause;
  }
  return offered;
}

async function fetchOne(address: string, more: More = {}): Promise<string> {
  return (await fetchAll([`a=${address}`], more)).get("a") ?? "";
}

/** Every file below the directory, but not the records. */
function files(): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) =>
    /\.(gguf|part)$/.test(name),
  );
}

function part(): { path: string; bytes: number } {
  const name = files().find((file) => file.endsWith(".part"));
  return name === undefined
    ? { path: "", bytes: -1 }
    : { path: join(directory, name), bytes: statSync(join(directory, name)).size };
}

/** Breaks a download off after so many bytes, as if the program had ended. */
async function breakOff(address: string, bytes: number): Promise<void> {
  const held = server.holdNext(bytes);
  const stop = new AbortController();
  const download = fetchOne(address, { ports: { signal: stop.signal } });
  const ended = expect(download).rejects.toThrow(/abort/i);
  await expect.poll(() => part().bytes).toBe(bytes);
  stop.abort();
  await ended;
  held.cut();
  expect(logged.join()).not.toContain("interrupted");
}

describe("a model that is named by its address", () => {
  it("is fetched once, and needs no network from then on", async () => {
    server.put("/org/m.gguf", model());
    const path = await fetchOne(`${server.url}/org/m.gguf`);
    expect(readFileSync(path)).toEqual(model());
    const known = server.asked.length;
    expect(await fetchOne(`${server.url}/org/m.gguf`)).toBe(path);
    expect(server.asked).toHaveLength(known);
    expect(files()).toEqual([expect.stringMatching(/^[0-9a-f]{12}\/m\.gguf$/)]);
  });

  it("does not meet another one with the same file name", async () => {
    server.put("/one/m.gguf", model(50_000, 1));
    server.put("/two/m.gguf", model(60_000, 2));
    server.put("/one/m.gguf?v=2", model(70_000, 3));
    const models = ["one/m.gguf", "two/m.gguf", "one/m.gguf?v=2"].map(
      (name, index) => `m${index}=${server.url}/${name}`,
    );
    const found = await fetchAll(models);
    expect([...found.values()].map((path) => statSync(path).size)).toEqual([50_000, 60_000, 70_000]);
  });

  it("may have two ids", async () => {
    server.put("/m.gguf", model());
    const found = await fetchAll([`a=${server.url}/m.gguf`, `b=${server.url}/m.gguf`]);
    expect(found.get("a")).toBe(found.get("b"));
    expect(server.fetches).toHaveLength(1);
  });

  it("comes with all its parts if it is split, whichever is named", async () => {
    for (const n of [1, 2, 3]) server.put(`/big-0000${n}-of-00003.gguf`, model(30_000 + n, n));
    const path = await fetchOne(`${server.url}/big-00002-of-00003.gguf`);
    expect(path).toMatch(/big-00001-of-00003\.gguf$/);
    expect(readdirSync(dirname(path)).filter((name) => name.endsWith(".gguf"))).toHaveLength(3);
  });

  it("comes in the order of the command line, one file after the other", async () => {
    for (const name of ["x", "y"]) server.put(`/${name}.gguf`, model());
    await fetchAll([`b=${server.url}/y.gguf`, `a=${server.url}/x.gguf`]);
    expect(server.fetches.map(({ path }) => path)).toEqual(["/y.gguf", "/x.gguf"]);
  });

  it("is fetched for a command's server as well, which is given the file; what is no address stays a name", async () => {
    server.put("/m.gguf", model());
    const models = [`a=${server.url}/m.gguf`, "b=org/repo", "c"];
    const asked = { models, directories: [], form: "files or names" } as const;
    const [b, c, a, ...others] = await fetchFrom(asked);
    expect(a).toMatchObject({ id: "a", sizeBytes: 200_000 });
    expect(readFileSync(a?.path ?? "")).toEqual(model());
    expect([b, c].map((named) => [named?.id, named?.path])).toEqual([
      ["b", "org/repo"],
      ["c", "c"],
    ]);
    expect(others).toEqual([]);
  });

  it("is left alone with an engine that needs no file", async () => {
    const sources = { models: [`a=${server.url}/m.gguf`], directories: [], form: "ids" } as const;
    expect(planDownloads(sources, directory)).toEqual({ here: sources, coming: [] });
  });

  it("is fetched after the mistakes of the command line are found", async () => {
    server.put("/m.gguf", model());
    const address = `${server.url}/m.gguf`;
    await expect(fetchAll([`a=${address}`, "b=/no/such.gguf"])).rejects.toThrow(/Cannot open the model file/);
    await expect(fetchAll([`a=${address}`, `a=${address}?2`])).rejects.toThrow(/Two files are to be model a/);
    expect(server.asked).toEqual([]);
  });

  it("may come without its length", async () => {
    server.put("/m.gguf", model(), { "transfer-encoding": "chunked" }, false);
    expect(readFileSync(await fetchOne(`${server.url}/m.gguf`))).toEqual(model());
  });

  it("comes over http from this machine, and with a warning from others", async () => {
    server.put("/m.gguf", model());
    const elsewhere: typeof fetch = (input, init) =>
      fetch(
        String(input instanceof Request ? input.url : input).replace("http://models.example", server.url),
        init,
      );
    await fetchOne(`${server.url}/m.gguf`);
    expect(logged.join()).not.toContain("is http");
    await fetchOne("http://models.example/m.gguf", { ports: { fetch: elsewhere } });
    expect(logged.join()).toContain("http://models.example/m.gguf is http");
  });
});

describe("a download that broke off", () => {
  it("goes on where it was, also in another life of the program", async () => {
    server.put("/m.gguf", model());
    await breakOff(`${server.url}/m.gguf`, 70_000);
    expect(part().bytes).toBe(70_000);
    const path = await fetchOne(`${server.url}/m.gguf`);
    expect(readFileSync(path)).toEqual(model());
    expect(server.fetches.map(({ from }) => from)).toEqual([0, 70_000]);
    expect(server.fetches[1]?.headers["if-range"]).toBe(
      `"${createHash("md5").update(model()).digest("hex")}"`,
    );
    expect(readdirSync(dirname(path)).sort()).toEqual(["m.gguf", "m.gguf.json"]);
  });

  it("goes on if the file was last changed when it was before", async () => {
    server.put("/m.gguf", model(), { etag: 'W/"1"', "last-modified": "Mon, 01 Jun 2026 00:00:00 GMT" });
    await breakOff(`${server.url}/m.gguf`, 70_000);
    await fetchOne(`${server.url}/m.gguf`);
    expect(server.fetches.map(({ from }) => from)).toEqual([0, 70_000]);
    expect(server.fetches[1]?.headers["if-range"]).toBe("Mon, 01 Jun 2026 00:00:00 GMT");
  });

  it("goes on after the connection broke", async () => {
    server.put("/m.gguf", model());
    const held = server.holdNext(90_000);
    const download = fetchOne(`${server.url}/m.gguf`);
    await expect.poll(() => part().bytes).toBe(90_000);
    held.cut();
    expect(readFileSync(await download)).toEqual(model());
    expect(server.fetches.map(({ from }) => from)).toEqual([0, 90_000]);
    expect(clock.pauses).toEqual([1000]);
    expect(logged.join()).toContain("download interrupted");
  });

  it("goes on after nothing came for too long", async () => {
    server.put("/m.gguf", model());
    server.holdNext(40_000);
    const download = fetchOne(`${server.url}/m.gguf`);
    await expect.poll(() => part().bytes).toBe(40_000);
    await expect.poll(() => clock.stall()).toBe(true);
    expect(readFileSync(await download)).toEqual(model());
    expect(server.fetches.map(({ from }) => from)).toEqual([0, 40_000]);
    expect(logged.join()).toContain("nothing came for 45 s");
  });

  it("goes on after an answer that ended early without a break", async () => {
    server.put("/m.gguf", model(), { etag: '"1"' });
    const short: typeof fetch = async (input, init) => {
      const response = await fetch(input, init);
      if (server.fetches.length !== 1) return response;
      const bytes = Buffer.from(await response.arrayBuffer()).subarray(0, 50_000);
      return new Response(bytes, { status: response.status, headers: response.headers });
    };
    expect(readFileSync(await fetchOne(`${server.url}/m.gguf`, { ports: { fetch: short } }))).toEqual(
      model(),
    );
    expect(server.fetches.map(({ from }) => from)).toEqual([0, 50_000]);
  });

  it.each([
    ["has another ETag", { etag: '"old"' }, { etag: '"new"' }],
    [
      "was changed later",
      { "last-modified": "Mon, 01 Jun 2026 00:00:00 GMT" },
      { "last-modified": "Tue, 02 Jun 2026 00:00:00 GMT" },
    ],
    [
      "has another hash",
      { "x-linked-etag": `"${sha256(model())}"` },
      { "x-linked-etag": `"${sha256(model(200_000, 2))}"` },
    ],
  ])("starts anew if the file at its source %s", async (_, before, after) => {
    server.put("/m.gguf", model(), before);
    await breakOff(`${server.url}/m.gguf`, 70_000);
    server.put("/m.gguf", model(200_000, 2), after);
    expect(readFileSync(await fetchOne(`${server.url}/m.gguf`))).toEqual(model(200_000, 2));
    expect(
      server.fetches.at(-1)?.from === 0 || server.fetches.at(-1)?.headers["if-range"] !== undefined,
    ).toBe(true);
  });

  it("starts anew if the file at its source is shorter now than what is there", async () => {
    server.put("/m.gguf", model(), { "x-linked-etag": sha256(model()) });
    await breakOff(`${server.url}/m.gguf`, 150_000);
    server.put("/m.gguf", model(100_000, 2), { "x-linked-etag": sha256(model(100_000, 2)) });
    expect(readFileSync(await fetchOne(`${server.url}/m.gguf`))).toEqual(model(100_000, 2));
  });

  it("starts anew if nothing tells one version from another", async () => {
    server.put("/m.gguf", model(), {});
    await breakOff(`${server.url}/m.gguf`, 70_000);
    server.put("/m.gguf", model(200_000, 2), {});
    expect(readFileSync(await fetchOne(`${server.url}/m.gguf`))).toEqual(model(200_000, 2));
    expect(server.fetches.map(({ from }) => from)).toEqual([0, 0]);
  });

  it("starts anew if all that tells one version from another is an ETag that is weak", async () => {
    server.put("/m.gguf", model(), { etag: 'W/"1"' });
    await breakOff(`${server.url}/m.gguf`, 70_000);
    server.put("/m.gguf", model(200_000, 2), { etag: 'W/"1"' });
    expect(readFileSync(await fetchOne(`${server.url}/m.gguf`))).toEqual(model(200_000, 2));
  });

  it("starts anew if the source sends the rest of another version, against the condition", async () => {
    server.put("/m.gguf", model(), { etag: '"old"' });
    await breakOff(`${server.url}/m.gguf`, 70_000);
    server.put("/m.gguf", model(200_000, 2), { etag: '"new"' }, "always");
    expect(readFileSync(await fetchOne(`${server.url}/m.gguf`))).toEqual(model(200_000, 2));
    expect(server.fetches.map(({ from }) => from)).toEqual([0, 70_000, 0]);
  });

  it("starts anew if the source sends another part than was asked for", async () => {
    server.put("/m.gguf", model());
    await breakOff(`${server.url}/m.gguf`, 70_000);
    const skewed: typeof fetch = async (input, init) => {
      const response = await fetch(input, init);
      const headers = new Headers(response.headers);
      const range = headers.get("content-range")?.replace(/ 70000-/, " 65536-");
      if (range !== undefined) headers.set("content-range", range);
      return new Response(response.body, { status: response.status, headers });
    };
    expect(readFileSync(await fetchOne(`${server.url}/m.gguf`, { ports: { fetch: skewed } }))).toEqual(
      model(),
    );
    expect(server.fetches.map(({ from }) => from)).toEqual([0, 70_000, 0]);
  });

  it("starts anew if the source ignores what was asked for", async () => {
    server.put("/m.gguf", model(), { etag: '"1"' }, false);
    await breakOff(`${server.url}/m.gguf`, 70_000);
    expect(readFileSync(await fetchOne(`${server.url}/m.gguf`))).toEqual(model());
  });

  it("starts anew if what is there is damaged, and its hash shows it", async () => {
    server.put("/m.gguf", model(), { "x-linked-etag": sha256(model()) });
    await breakOff(`${server.url}/m.gguf`, 70_000);
    const { path } = part();
    const damaged = readFileSync(path);
    damaged[1000] = (damaged[1000] ?? 0) ^ 1;
    writeFileSync(path, damaged);
    expect(readFileSync(await fetchOne(`${server.url}/m.gguf`))).toEqual(model());
    expect(server.fetches.map(({ from }) => from)).toEqual([0, 70_000, 0]);
    expect(logged.join()).toContain("do not fit together");
  });

  it("starts anew if what is there is no beginning of a model", async () => {
    server.put("/m.gguf", model());
    await breakOff(`${server.url}/m.gguf`, 70_000);
    writeFileSync(part().path, Buffer.alloc(70_000));
    expect(readFileSync(await fetchOne(`${server.url}/m.gguf`))).toEqual(model());
    expect(server.fetches.map(({ from }) => from)).toEqual([0, 0]);
  });

  it("starts anew if there is no record of where it is from", async () => {
    server.put("/m.gguf", model());
    await breakOff(`${server.url}/m.gguf`, 70_000);
    writeFileSync(`${part().path}.json`, "{");
    expect(readFileSync(await fetchOne(`${server.url}/m.gguf`))).toEqual(model());
    expect(server.fetches.map(({ from }) => from)).toEqual([0, 0]);
  });

  it("starts anew if more is there than the file has", async () => {
    server.put("/m.gguf", model());
    await breakOff(`${server.url}/m.gguf`, 70_000);
    writeFileSync(part().path, model(300_000));
    expect(readFileSync(await fetchOne(`${server.url}/m.gguf`))).toEqual(model());
  });

  it("does not begin if the program has been stopped before", async () => {
    server.put("/m.gguf", model());
    await expect(
      fetchOne(`${server.url}/m.gguf`, { ports: { signal: AbortSignal.abort() } }),
    ).rejects.toThrow(/abort/i);
    expect(server.asked).toEqual([]);
  });

  it("needs no second answer if only its name was missing", async () => {
    server.put("/m.gguf", model());
    await breakOff(`${server.url}/m.gguf`, 70_000);
    writeFileSync(part().path, model());
    expect(readFileSync(await fetchOne(`${server.url}/m.gguf`))).toEqual(model());
    expect(server.fetches).toHaveLength(1);
  });

  it("keeps what is there when the program is stopped, at once and in a pause as well", async () => {
    server.put("/m.gguf", model());
    await breakOff(`${server.url}/m.gguf`, 70_000);
    server.failNext("fetch", 503);
    const stop = new AbortController();
    const stopInPause: Clock = {
      now: () => clock.now(),
      after: (delayMs, run) => {
        if (delayMs === STALL_MS) return clock.after(delayMs, run);
        stop.abort();
        return () => {};
      },
    };
    const stopped = fetchOne(`${server.url}/m.gguf`, { ports: { clock: stopInPause, signal: stop.signal } });
    await expect(stopped).rejects.toThrow(/abort/i);
    expect(part().bytes).toBe(70_000);
  });
});

describe("a source that has trouble", () => {
  let gone: string;
  beforeEach(async () => {
    const other = await FileServer.start();
    gone = other.url;
    await other.stop();
  });

  it("is asked again after pauses that double, or as long as it says itself", async () => {
    server.put("/m.gguf", model());
    server.failNext("look", 503);
    server.dropNext("look");
    server.failNext("look", 429, { "retry-after": "17" });
    server.failNext("fetch", 500);
    server.failNext("fetch", 429, { "retry-after": "86400" });
    expect(readFileSync(await fetchOne(`${server.url}/m.gguf`))).toEqual(model());
    expect(clock.pauses).toEqual([1000, 2000, 17_000, 1000, 600_000]);
  });

  it("is given up after many tries in a row that brought nothing", async () => {
    server.put("/m.gguf", model());
    for (let tries = 0; tries < 10; tries += 1) server.failNext("fetch", 503);
    await expect(fetchOne(`${server.url}/m.gguf`)).rejects.toThrow(
      /^Cannot download http.*m\.gguf: 127\.0\.0\.1:\d+ answers with status 503\. What is there of it is kept\.$/,
    );
    expect(clock.pauses).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  });

  it("may fail as often as it likes as long as each answer brings something", async () => {
    server.put("/m.gguf", model());
    const download = fetchOne(`${server.url}/m.gguf`);
    const held = Array.from({ length: 12 }, () => server.holdNext(1000));
    for (const [index, { cut }] of held.entries()) {
      await expect.poll(() => part().bytes).toBe(1000 * (index + 1));
      cut();
    }
    expect(readFileSync(await download)).toEqual(model());
    expect(new Set(clock.pauses)).toEqual(new Set([1000]));
  });

  it("is given up if all it brings is the same beginning again and again", async () => {
    server.put("/m.gguf", model(), { etag: '"1"' }, false);
    const held = Array.from({ length: 10 }, (_, index) => server.holdNext(index % 2 === 0 ? 2000 : 1000));
    const download = expect(fetchOne(`${server.url}/m.gguf`)).rejects.toThrow(/^Cannot download/);
    for (const [index, { cut }] of held.entries()) {
      await expect.poll(() => server.fetches.length).toBe(index + 1);
      await expect.poll(() => part().bytes).toBe(index % 2 === 0 ? 2000 : 1000);
      cut();
    }
    await download;
    expect(clock.pauses).toHaveLength(9);
  });

  it("keeps no machine from serving what it has", async () => {
    server.put("/m.gguf", model());
    const path = await fetchOne(`${server.url}/m.gguf`);
    const models = [`gone=${gone}/x.gguf`, `a=${server.url}/m.gguf`];
    expect(await fetchAll(models)).toEqual(new Map([["a", path]]));
    expect(clock.pauses).toEqual([1000, 2000, 300_000]);
    expect(logged.join()).toContain(`later gone: Cannot download ${gone}/x.gguf`);
    await expect(fetchAll(models.slice(0, 1))).rejects.toThrow(/Cannot download/);
  });

  it("is left until what another source gives is here", async () => {
    const here = join(directory, "here.gguf");
    writeFileSync(here, model(1000));
    server.put("/m.gguf", model());
    const models = [`here=${here}`, `gone=${gone}/x.gguf`, `a=${server.url}/m.gguf`];
    expect([...(await fetchAll(models)).keys()]).toEqual(["here", "a"]);
    expect(clock.pauses).toEqual([1000, 2000, 300_000]);
  });

  it("keeps no machine from serving what another source gives", async () => {
    server.put("/m.gguf", model());
    const models = [`gone=${gone}/x.gguf`, `a=${server.url}/m.gguf`, `lost=${gone}/y.gguf`];
    expect([...(await fetchAll(models)).keys()]).toEqual(["a"]);
    await expect(fetchAll([models[0] ?? "", models[2] ?? ""])).rejects.toThrow(/y\.gguf/);
  });
});

describe("a machine that serves already", () => {
  let here: string;
  beforeEach(() => {
    here = join(directory, "here.gguf");
    writeFileSync(here, model(1000));
    server.put("/m.gguf", model());
  });
  const beside = (address: string, more?: More): Promise<Map<string, string>> =>
    fetchAll([`here=${here}`, `a=${server.url}/${address}`], more);

  it("serves on whatever is wrong with another model, which is asked for again five minutes later", async () => {
    for (const status of [404, 403, 400]) server.failNext("look", status);
    const found = await beside("m.gguf", { rounds: 4 });
    expect([...found.keys()]).toEqual(["here", "a"]);
    expect(clock.pauses).toEqual([300_000, 300_000, 300_000]);
    expect(logged.filter((line) => line.startsWith("later a: "))).toEqual([
      expect.stringContaining("status 404"),
      expect.stringContaining("status 403"),
      expect.stringContaining("status 400"),
    ]);
  });

  it("serves on when the disk is full, and takes the model when there is room", async () => {
    const free = [1e9, 1e15];
    const found = await beside("m.gguf", {
      rounds: 2,
      ports: { freeBytes: () => Promise.resolve(free.shift() ?? 0) },
    });
    expect([...found.keys()]).toEqual(["here", "a"]);
    expect(logged.join()).toContain("later a: The disk of");
  });

  it("serves on when another program has the directory", async () => {
    const lock = join(directory, "lock.json");
    const booted_at = Math.round(Date.now() - uptime() * 1000);
    writeFileSync(lock, JSON.stringify({ pid: process.ppid, booted_at }));
    expect([...(await beside("m.gguf")).keys()]).toEqual(["here"]);
    expect(logged.join()).toContain("later a: Another provider");
  });

  it.each([
    ["another file than its owner wants", `m.gguf#sha256=${"0".repeat(64)}`, /never a: .*is not the file/],
    ["no model", "page.gguf", /never a: .*is not a GGUF file/],
  ])("serves on without %s, and does not fetch that again", async (_, address, said) => {
    server.put("/page.gguf", Buffer.alloc(1000, "<html>"));
    expect([...(await beside(address, { rounds: 3 })).keys()]).toEqual(["here"]);
    expect(server.fetches).toHaveLength(1);
    expect(clock.pauses).toEqual([]);
    expect(logged.join()).toMatch(said);
  });

  it("does not wait for the hash of a file that is here to be counted", async () => {
    const path = await fetchOne(`${server.url}/m.gguf`);
    rmSync(`${path}.json`);
    const models = [`here=${here}`, `a=${server.url}/m.gguf#sha256=${sha256(model())}`];
    const plan = (): string[] =>
      planDownloads({ models, directories: [], form: "files" }, directory).coming.map(({ id }) => id);
    expect(plan()).toEqual(["a"]);
    const asked = server.asked.length;
    expect([...(await fetchAll(models)).keys()]).toEqual(["here", "a"]);
    expect(logged.join()).toContain('checking the hash of a file that is here {"model":"a","file":"m.gguf"');
    expect(server.asked).toHaveLength(asked);
    expect(plan()).toEqual([]);
  });
});

describe("what is not the model", () => {
  it.each([
    [404, /is refused \(status 404\): there is no such file\. Check the address\.$/],
    [403, /is refused \(status 403\): it is not open to everybody/],
    [400, /is refused \(status 400\)\.$/],
  ])("is an answer with status %s, which ends the download at once", async (status, expected) => {
    server.failNext("look", status);
    await expect(fetchOne(`${server.url}/m.gguf?secret=1`)).rejects.toThrow(expected);
    expect(clock.pauses).toEqual([]);
    expect(readdirSync(directory)).toEqual([]);
    server.failNext("look", status);
    await expect(fetchOne(`${server.url}/m.gguf?secret=1`)).rejects.not.toThrow(/secret/);
  });

  it.each([
    ["an error page", Buffer.from(`<!doctype html><title>Sign in</title>${" ".repeat(100)}`)],
    ["an error page that is shorter than a header", Buffer.from("not found")],
    ["nothing", Buffer.alloc(0)],
    ["a file that makes no sense", Buffer.concat([Buffer.from("GGUF"), Buffer.alloc(100_000, 0xff)])],
  ])("is %s", async (_, bytes) => {
    for (const headers of [{ etag: '"1"' }, { "transfer-encoding": "chunked" }]) {
      server.put("/m.gguf", bytes, headers, false);
      await expect(fetchOne(`${server.url}/m.gguf`)).rejects.toThrow(
        /What comes from http:.*m\.gguf is (not a GGUF file|damaged).*Open the address in a browser/,
      );
      expect(files()).toEqual([]);
    }
  });

  it("is the beginning of one, from a source that says no length", async () => {
    const half = readFileSync(join(import.meta.dirname, "../../models/tiny-verse.gguf")).subarray(0, 500_000);
    server.put("/m.gguf", half, { "transfer-encoding": "chunked" }, false);
    await expect(fetchOne(`${server.url}/m.gguf`)).rejects.toThrow(
      /m\.gguf is incomplete: it has 500,000 bytes and needs at least 1,869,984\. Open the address/,
    );
    expect(files()).toEqual([]);
  });

  it("is not read to its end", async () => {
    server.put("/m.gguf", Buffer.alloc(1_000_000, "<html>"));
    const held = server.holdNext(10_000);
    await expect(fetchOne(`${server.url}/m.gguf`)).rejects.toThrow(/is not a GGUF file/);
    held.cut();
  });

  it("is a file with another hash than the owner's", async () => {
    server.put("/m.gguf", model());
    const wrong = "0".repeat(64);
    await expect(fetchOne(`${server.url}/m.gguf#sha256=${wrong}`)).rejects.toThrow(
      `its sha256 is ${sha256(model())}, and --model says ${wrong}`,
    );
    expect(files()).toEqual([]);
    expect(server.fetches).toHaveLength(1);
  });

  it("is not even fetched if the source itself says that it has another hash", async () => {
    server.put("/m.gguf", model(), { "x-linked-etag": `"${sha256(model())}"` });
    await expect(fetchOne(`${server.url}/m.gguf#sha256=${"0".repeat(64)}`)).rejects.toThrow(
      /is not the file/,
    );
    expect(server.fetches).toEqual([]);
  });

  it("is not fetched either if the source says so when the file is asked for", async () => {
    server.put("/m.gguf", model());
    const moved = { location: "/m.gguf", "x-linked-etag": `"${"1".repeat(64)}"` };
    server.failNext("fetch", 302, moved);
    await expect(fetchOne(`${server.url}/m.gguf#sha256=${sha256(model())}`)).rejects.toThrow(/is 1{64}, and/);
    expect(part().bytes).toBe(0);
  });

  it("is a file with another hash than its source says", async () => {
    server.put("/m.gguf", model(), { "x-linked-etag": `"${"0".repeat(64)}"` });
    await expect(fetchOne(`${server.url}/m.gguf`)).rejects.toThrow(
      `its sha256 is ${sha256(model())}, and its source says ${"0".repeat(64)}`,
    );
    expect(files()).toEqual([]);
  });
});

describe("a hash that the owner gives", () => {
  it("is what the file has to be, in any case of letters, and for each part of a model", async () => {
    const parts = [model(30_000, 1), model(40_000, 2)];
    parts.forEach((bytes, index) => server.put(`/big-0000${index + 1}-of-00002.gguf`, bytes));
    const hashes = parts.map((bytes) => sha256(bytes).toUpperCase()).join(",");
    expect(await fetchOne(`${server.url}/big-00001-of-00002.gguf#sha256=${hashes}`)).toContain("big-00001");
  });

  it("is held against what is there, without a network and without reading it again", async () => {
    server.put("/m.gguf", model());
    const path = await fetchOne(`${server.url}/m.gguf`);
    const known = server.asked.length;
    writeFileSync(path, Buffer.alloc(model().length));
    writeFileSync(path, model());
    expect(await fetchOne(`${server.url}/m.gguf#sha256=${sha256(model())}`)).toBe(path);
    rmSync(`${path}.json`);
    expect(await fetchOne(`${server.url}/m.gguf#sha256=${sha256(model())}`)).toBe(path);
    expect(existsSync(`${path}.json`)).toBe(true);
    expect(server.asked).toHaveLength(known);
  });

  it("fetches the file again if what is there is another one, which stays until then", async () => {
    server.put("/m.gguf", model());
    const path = await fetchOne(`${server.url}/m.gguf`);
    const address = `${server.url}/m.gguf#sha256=${sha256(model(100_000, 2))}`;
    await expect(fetchOne(address)).rejects.toThrow(/is not the file/);
    expect(readFileSync(path)).toEqual(model());
    server.put("/m.gguf", model(100_000, 2));
    expect(await fetchOne(address)).toBe(path);
    expect(readFileSync(path)).toEqual(model(100_000, 2));
  });

  it("lets a download go on that nothing else tells from another version", async () => {
    server.put("/m.gguf", model(), {});
    const address = `${server.url}/m.gguf#sha256=${sha256(model())}`;
    await breakOff(address, 70_000);
    await fetchOne(address);
    expect(server.fetches.map(({ from }) => from)).toEqual([0, 70_000]);
  });
});

describe("the disk", () => {
  it("is looked at before anything is fetched, for all files together and what is there of them", async () => {
    for (const name of ["x", "y"]) server.put(`/${name}.gguf`, model(2_000_000));
    await breakOff(`${server.url}/x.gguf`, 500_000);
    const models = ["x", "y"].map((name) => `${name}=${server.url}/${name}.gguf`);
    const freeBytes = (bytes: number) => ({ ports: { freeBytes: () => Promise.resolve(bytes) } });
    await expect(fetchAll(models, freeBytes(1_003_400_000))).rejects.toThrow(
      /too full for x\.gguf, y\.gguf: 3\.5 MB have to be downloaded, 1\.0 GB are free, and 1\.0 GB should stay so\. Make room, or .*--downloads-dir/,
    );
    expect(server.fetches).toHaveLength(1);
    expect((await fetchAll(models, freeBytes(1_003_500_000))).size).toBe(2);
  });

  it("is named when it cannot be written", async () => {
    server.put("/m.gguf", model());
    const file = join(directory, "a-file");
    writeFileSync(file, "");
    const sources = { models: [`a=${server.url}/m.gguf`], directories: [], form: "files" } as const;
    await expect(fetchFrom(sources, {}, file)).rejects.toThrow(/Cannot make the directory .*a-file/);
  });

  it("belongs to one program at a time", async () => {
    server.put("/m.gguf", model());
    const lock = join(directory, "lock.json");
    const booted_at = Math.round(Date.now() - uptime() * 1000);
    writeFileSync(lock, JSON.stringify({ pid: process.ppid, booted_at }));
    await expect(fetchOne(`${server.url}/m.gguf`)).rejects.toThrow(/Another provider .* own --downloads-dir/);
    rmSync(lock);
    await fetchOne(`${server.url}/m.gguf`);
    expect(existsSync(lock)).toBe(false);
  });
});

describe("Hugging Face", () => {
  const REPOSITORY = "/org/repo/resolve/main/m.gguf";
  let toHosts: { host: string; authorization: string | null }[];
  /** Both hosts are the server on this machine. */
  const hub: typeof fetch = (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    toHosts.push({ host: url.host, authorization: new Headers(init?.headers).get("authorization") });
    return fetch(`${server.url}/${url.host}${url.pathname}${url.search}`, init);
  };

  beforeEach(() => {
    toHosts = [];
    server.put("/cdn.example/xyz?signature=1", model(), { etag: `"${"f".repeat(64)}"` });
  });

  const redirect = (headers: Record<string, string> = {}, status = 302): void => {
    const location = "https://cdn.example/xyz?signature=1";
    const linked = { location, "x-linked-etag": `"${sha256(model())}"`, ...headers };
    server.failNext("look", status, linked);
    server.failNext("fetch", status, linked);
  };

  const fetchHub = (address: string, hubToken: string | null = "hf_secret"): Promise<string> =>
    fetchOne(address, { ports: { fetch: hub, hubToken } });

  it("gives the hash with the redirect, and the token goes to no other host", async () => {
    redirect();
    const path = await fetchHub("hf:org/repo/m.gguf");
    expect(JSON.parse(readFileSync(`${path}.json`, "utf8"))).toMatchObject({ sha256: sha256(model()) });
    expect(toHosts).toEqual([
      { host: "huggingface.co", authorization: "Bearer hf_secret" },
      { host: "cdn.example", authorization: null },
      { host: "huggingface.co", authorization: "Bearer hf_secret" },
      { host: "cdn.example", authorization: null },
    ]);
    expect(server.asked[0]?.path).toBe(`/huggingface.co${REPOSITORY}`);
    expect(logged.join()).not.toMatch(/hf_secret|signature/);
  });

  it("gives a hash that the file has to have", async () => {
    redirect({ "x-linked-etag": `"${"0".repeat(64)}"` });
    await expect(fetchHub("hf:org/repo/m.gguf")).rejects.toThrow(/its source says 0{64}/);
  });

  it("may move a repository, and redirects without naming itself again", async () => {
    server.failNext("look", 307, { location: "/new/repo/resolve/main/m.gguf" });
    server.failNext("fetch", 307, { location: "/new/repo/resolve/main/m.gguf" });
    server.put("/huggingface.co/new/repo/resolve/main/m.gguf", model());
    expect(readFileSync(await fetchHub("hf:org/repo/m.gguf"))).toEqual(model());
    expect(toHosts.every(({ authorization }) => authorization === "Bearer hf_secret")).toBe(true);
  });

  it("gets no token over http, nor does a host that only begins like it", async () => {
    for (const host of [
      "http://huggingface.co",
      "https://huggingface.co.example",
      "https://x.huggingface.co",
    ]) {
      const path = `/${new URL(host).host}/m.gguf`;
      server.put(path, model());
      await fetchHub(`${host}/m.gguf`);
    }
    expect(toHosts.filter(({ authorization }) => authorization !== null)).toEqual([]);
  });

  it("says what a gated model needs", async () => {
    for (const status of [401, 403]) {
      server.failNext("look", status);
      await expect(fetchHub("hf:org/repo/m.gguf", null)).rejects.toThrow(
        /gated or private.*Accept its terms on https:\/\/huggingface\.co\/org\/repo,.*HF_TOKEN in the environment/,
      );
      server.failNext("look", status);
      await expect(fetchHub("hf:org/repo/m.gguf")).rejects.toThrow(/HF_TOKEN is wrong or not enough/);
    }
    server.failNext("look", 404);
    await expect(fetchHub("hf:org/repo/m.gguf")).rejects.toThrow(
      "https://huggingface.co/org/repo/tree/main lists the files",
    );
    expect(clock.pauses).toEqual([]);
  });

  it.each([
    ["to an unprotected address", "http://cdn.example/m.gguf", /anybody on the way could change/],
    ["to nowhere", "http://:1:2/", /redirects to nowhere/],
    ["in circles", `https://huggingface.co${REPOSITORY}`, /redirects again and again/],
  ])("is not followed %s", async (_, location, expected) => {
    for (let hops = 0; hops < 11; hops += 1) server.failNext("look", 302, { location });
    await expect(fetchHub("hf:org/repo/m.gguf")).rejects.toThrow(expected);
  });
});

describe("progress", () => {
  it("is a log line now and then", async () => {
    server.put("/m.gguf", model());
    const held = [100_000, 50_000].map((bytes) => server.holdNext(bytes));
    const download = fetchOne(`${server.url}/m.gguf`);
    await expect.poll(() => part().bytes).toBe(100_000);
    clock.pass(31_000);
    held[0]?.cut();
    await expect.poll(() => part().bytes).toBe(150_000);
    held[1]?.cut();
    await download;
    const lines = logged.filter((line) => line.includes('"percent"'));
    expect(lines.length).toBeGreaterThan(0);
    expect(lines[0]).toMatch(/^downloading .*"file":"m.gguf".*"percent":\d+,"rate":"/);
  });

  it("is one line of a terminal, and then no log line", async () => {
    server.put("/m.gguf", model());
    const shown: (string | null)[] = [];
    const held = server.holdNext(100_000);
    const download = fetchOne(`${server.url}/m.gguf`, {
      ports: {
        showProgress: (progress) => void shown.push(progress === null ? null : describeProgress(progress)),
      },
    });
    await expect.poll(() => part().bytes).toBe(100_000);
    clock.pass(31_000);
    held.cut();
    await download;
    expect(shown[0]).toMatch(/^downloading m\.gguf \d+ % of 200 kB \| .*\/s/);
    expect(shown.at(-1)).toBeNull();
    expect(logged.filter((line) => line.includes('"percent"'))).toEqual([]);
  });
});
