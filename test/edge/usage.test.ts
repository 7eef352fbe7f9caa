import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";

import type { ReplayFleet } from "../../core/fleet/replay-fleet.ts";
import { ModelPool } from "../../durable-objects/model-pool.ts";
import { modelIdSchema } from "../../protocol/ids.ts";
import { demandTrace } from "../../worker/demand-trace.ts";
import { expectAnswer, join } from "./fake-provider.ts";
import {
  adminCall,
  advanceClock,
  breakDown,
  callAdmin,
  chat,
  errorOf,
  newKey,
  poolOf,
  rowsOf,
  scene,
  stopClock,
  until,
  type Scene,
} from "./scene.ts";

type Row = Record<string, unknown>;

/** Whether the pool had nothing more to do. */
async function fallsAsleep(at: Scene): Promise<boolean> {
  try {
    await evictDurableObject(poolOf(at));
    return true;
  } catch (error) {
    if (String(error).includes("active references")) return false;
    throw error;
  }
}

async function usageOf(at: Scene, query = ""): Promise<Row[]> {
  const { usage } = await adminCall<{ usage: Row[] }>("GET", `/usage${query}`);
  return usage.filter((row) => row["model_id"] === at.model);
}

/** Rows changed in the pool's SQLite since the object started. */
const changesOf = (at: Scene): Promise<number> =>
  runInDurableObject(poolOf(at), (_, state) =>
    Number(state.storage.sql.exec("SELECT total_changes() AS n").one()["n"]),
  );

it("a pool that cannot write its counts says so and goes on, deadlines included", async () => {
  const at = await scene();
  const machine = await join(at);
  const failed = vi.spyOn(console, "error").mockImplementation(() => undefined);
  await stopClock();
  await rowsOf(poolOf(at), "ALTER TABLE usage RENAME TO hidden");
  const pending = chat(at);
  const request = await machine.next("inference_request");
  const silent = chat(at, { stream: true });
  machine.accept(await machine.next("inference_request"));
  machine.answer(request, "{}");
  expect((await pending).status).toBe(200);
  await advanceClock(poolOf(at), 10_250);
  expect(failed.mock.calls).toEqual([
    [expect.objectContaining({ event: "counters_not_written", pool: at.model })],
  ]);
  expect((await poolOf(at).report(4)).inFlight).toBe(1);
  // Accepted, and then not a byte of it.
  await advanceClock(poolOf(at), 70_000);
  expect(await (await silent).text()).toContain('"error"');
  await rowsOf(poolOf(at), "ALTER TABLE hidden RENAME TO usage");
  failed.mockRestore();
});

describe("the fleet that demand can be replayed on", () => {
  it("is none without a machine, and without demand", async () => {
    const at = await scene();
    const none = await errorOf(await callAdmin("GET", "/demand/fleet"));
    expect(none).toMatchObject({
      status: 404,
      code: "not_found",
      message: expect.stringMatching(/connected/),
    });
    await join(at);
    const idle = await errorOf(await callAdmin("GET", "/demand/fleet"));
    expect(idle).toMatchObject({ status: 404, code: "not_found", message: expect.stringMatching(/asked/) });
  });
});

describe("usage", () => {
  it("is counted by key and outcome, with the tokens of what was answered", async () => {
    const at = await scene();
    const machine = await join(at);
    // Not that an hour ends in the middle.
    await stopClock();
    const other = { ...at, ...rename(await newKey("rival")) };
    await expectAnswer(at, machine);
    await expectAnswer(at, machine);
    await expectAnswer(other, machine);
    const refused = chat(at);
    machine.error(await machine.next("inference_request"), "client", "unsupported");
    await refused;
    const client = new AbortController();
    const left = chat(at, {}, { signal: client.signal });
    await machine.next("inference_request");
    client.abort();
    await expect(left).rejects.toThrow("abort");
    await machine.next("cancel");
    expect(await errorOf(await chat(at, { n: 2 }))).toMatchObject({ status: 400 });
    const rows = await usageOf(at);
    const none = { prompt_tokens: 0, completion_tokens: 0, cached_tokens: 0 };
    const hour_at = rows[0]?.["hour_at"];
    expect(Number(hour_at) % 3_600_000).toBe(0);
    const common = { model_id: at.model, hour_at };
    expect(rows).toHaveLength(4);
    expect(rows).toEqual(
      expect.arrayContaining([
        {
          ...common,
          key_id: at.keyId,
          outcome: "ok",
          requests: 2,
          prompt_tokens: 14,
          completion_tokens: 6,
          cached_tokens: 2,
        },
        {
          ...common,
          key_id: other.keyId,
          outcome: "ok",
          requests: 1,
          prompt_tokens: 7,
          completion_tokens: 3,
          cached_tokens: 1,
        },
        { ...common, key_id: at.keyId, outcome: "unsupported", requests: 1, ...none },
        { ...common, key_id: at.keyId, outcome: "cancelled", requests: 1, ...none },
      ]),
    );
  });

  it("writes nothing while requests run, and all of it in one go 10 s later", async () => {
    const at = await scene();
    const machine = await join(at);
    await stopClock();
    const before = await changesOf(at);
    for (let i = 0; i < 5; i++) await expectAnswer(at, machine);
    expect(await changesOf(at)).toBe(before);
    expect(await rowsOf(poolOf(at), "SELECT * FROM usage")).toEqual([]);
    await advanceClock(poolOf(at), 10_000);
    const written = (await changesOf(at)) - before;
    expect(await rowsOf(poolOf(at), "SELECT requests, outcome FROM usage")).toEqual([
      { requests: 5, outcome: "ok" },
    ]);
    // As many rows for many requests as for few.
    for (let i = 0; i < 20; i++) await expectAnswer(at, machine);
    await advanceClock(poolOf(at), 10_000);
    expect((await changesOf(at)) - before).toBe(2 * written);
  });

  it("adds up over several writes", async () => {
    const at = await scene();
    const machine = await join(at);
    await stopClock();
    for (let i = 0; i < 3; i++) {
      await expectAnswer(at, machine);
      expect(await usageOf(at)).toMatchObject([{ requests: i + 1, prompt_tokens: 7 * (i + 1) }]);
    }
  });

  it("goes back as many days as asked, and is kept for 35", async () => {
    const at = await scene();
    const machine = await join(at);
    await stopClock();
    const dayMs = 86_400_000;
    for (const days of [36, 34, 2]) {
      const hourAt = Math.floor((Date.now() - days * dayMs) / 3_600_000) * 3_600_000;
      await rowsOf(poolOf(at), "INSERT INTO usage VALUES (?, 'k', 'ok', ?, 0, 0, 0)", hourAt, days);
    }
    expect(await usageOf(at)).toEqual([]);
    expect(await usageOf(at, "?days=3")).toMatchObject([{ requests: 2 }]);
    expect(await usageOf(at, "?days=35")).toMatchObject([{ requests: 34 }, { requests: 2 }]);
    await expectAnswer(at, machine);
    await usageOf(at);
    const kept = await rowsOf(poolOf(at), "SELECT requests FROM usage ORDER BY hour_at");
    expect(kept.map((row) => row["requests"])).toEqual([34, 2, 1]);
  });

  it("is added up by the day, from the first one's beginning on, and by nothing else", async () => {
    const at = await scene();
    await poolOf(at).usage(0);
    const today = Date.now() - (Date.now() % 86_400_000);
    for (const hourAt of [today - 86_400_000, today - 3_600_000, today]) {
      await rowsOf(poolOf(at), "INSERT INTO usage VALUES (?, 'k', 'ok', 1, 2, 3, 4)", hourAt);
    }
    const row = { model_id: at.model, key_id: "k", outcome: "ok" };
    expect(await usageOf(at, "?by=day")).toEqual([
      {
        ...row,
        day_at: today - 86_400_000,
        requests: 2,
        prompt_tokens: 4,
        completion_tokens: 6,
        cached_tokens: 8,
      },
      { ...row, day_at: today, requests: 1, prompt_tokens: 2, completion_tokens: 3, cached_tokens: 4 },
    ]);
    expect(await errorOf(await callAdmin("GET", "/usage?by=week"))).toMatchObject({
      status: 400,
      param: "by",
    });
  });

  it("of hundreds of keys in a month is told by the day, since by the hour it is too much", async () => {
    const at = await scene();
    await poolOf(at).usage(0);
    const hour = Date.now() - (Date.now() % 3_600_000);
    await rowsOf(
      poolOf(at),
      `WITH RECURSIVE hours(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM hours WHERE n < 800),
         keys(m) AS (SELECT 1 UNION ALL SELECT m + 1 FROM keys WHERE m < 300)
       INSERT INTO usage SELECT ? - n * 3600000, 'key-' || m, 'ok', 1, 2, 3, 4 FROM hours, keys`,
      hour,
    );
    const error = await errorOf(await callAdmin("GET", "/usage?days=35"));
    expect(error).toMatchObject({ status: 400, code: "invalid_request", param: "days" });
    expect(error.message).toContain("by=day");
    const rows = await usageOf(at, "?days=35&by=day");
    expect(rows.reduce((sum, row) => sum + Number(row["requests"]), 0)).toBe(300 * 801);
  });

  it.each(["0", "36", "1.5", "week", "", "-1"])("of %j days is 400", async (days) => {
    expect(await errorOf(await callAdmin("GET", `/usage?days=${days}`))).toMatchObject({
      status: 400,
      code: "invalid_request",
      param: "days",
    });
  });

  it("holds no text of prompts or answers, nor does anything else in the pool", async () => {
    const at = await scene();
    const machine = await join(at);
    const secret = crypto.randomUUID();
    const pending = chat(at, { messages: [{ role: "user", content: `prompt ${secret}` }] });
    machine.answer(await machine.next("inference_request"), JSON.stringify({ answer: secret }));
    expect(await (await pending).text()).toContain(secret);
    await until(async () => (await usageOf(at)).length > 0);
    const tables = await rowsOf(
      poolOf(at),
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'",
    );
    const names = tables.map((row) => JSON.stringify(row["name"]));
    expect(names).toEqual(expect.arrayContaining(['"usage"', '"connected_machines"']));
    for (const name of names)
      expect(JSON.stringify(await rowsOf(poolOf(at), `SELECT * FROM ${name}`))).not.toContain(secret);
    await runInDurableObject(poolOf(at), (_, state) => {
      const attachments = state
        .getWebSockets()
        .map((socket) => JSON.stringify(socket.deserializeAttachment()));
      expect(attachments).toHaveLength(1);
      expect(attachments.join()).not.toContain(secret);
    });
  });
});

describe("a report to which a pool does not answer", () => {
  afterEach(() => vi.restoreAllMocks());

  it.each(["usage", "demand"] as const)("names the pool and says to try again: %s", async (report) => {
    const at = await scene();
    const warned = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    await runInDurableObject(poolOf(at), (_, state) => {
      vi.spyOn(ModelPool.prototype, report).mockImplementation(() => breakDown(state));
    });
    const response = await callAdmin("GET", `/${report}`);
    expect(response.headers.get("retry-after")).toBe("10");
    expect(await errorOf(response)).toMatchObject({ status: 503, code: "try_again" });
    expect(warned).toHaveBeenCalledWith(expect.objectContaining({ event: "pool_unreachable", call: report }));
  });
});

function rename({ key, id }: { key: string; id: string }): { apiKey: string; keyId: string } {
  return { apiKey: key, keyId: id };
}

describe("[F8] demand", () => {
  it("is exported as a trace, refused requests included", async () => {
    const at = await scene();
    await errorOf(await chat(at));
    const machine = await join(at);
    await expectAnswer(at, machine);
    const response = await callAdmin("GET", "/demand?days=1");
    expect(response.headers.get("content-type")).toContain("text/csv");
    const [head, ...lines] = (await response.text()).trim().split("\n");
    expect(head).toBe("t_s,model,n,prompt_tokens,output_tokens");
    const own = lines.map((line) => line.split(",")).filter(([, model]) => model === at.model);
    expect(own.reduce((sum, [, , n]) => sum + Number(n), 0)).toBe(2);
    expect(await errorOf(await callAdmin("GET", "/demand?days=9"))).toMatchObject({ status: 400 });
  });

  it("comes with the fleet that it can be replayed on", async () => {
    const at = await scene();
    const machine = await join(at);
    await expectAnswer(at, machine);
    const { machines } = await adminCall<ReplayFleet>("GET", "/demand/fleet?days=1");
    expect(machines.filter(({ speed }) => (speed[at.model] ?? 0) > 0)).toMatchObject([{ count: 1 }]);
    expect(await errorOf(await callAdmin("GET", "/demand/fleet?days=9"))).toMatchObject({ status: 400 });
  });

  it("says in the trace of a quiet fleet that its rows are minutes", () => {
    const rowAt = (minute: number) => ({
      minuteAt: minute * 60_000,
      arrivals: 1,
      promptTokens: 3,
      completed: 1,
      completionTokens: 4,
    });
    const linesOf = (...minutes: number[]) =>
      demandTrace([{ model: modelIdSchema.parse("m"), rows: minutes.map(rowAt) }])
        .trim()
        .split("\n")
        .slice(1);
    expect(linesOf(100, 130)).toEqual(["0,m,1,3,4", "60,m,0,0,0", "1800,m,1,3,4"]);
    expect(linesOf(100, 101)).toEqual(["0,m,1,3,4", "60,m,1,3,4"]);
    expect(linesOf(100)).toEqual(["0,m,1,3,4"]);
    expect(linesOf()).toEqual([]);
  });

  it("is traced minute by minute and model by model, refused requests with their share of the answers", () => {
    const row = { arrivals: 1, promptTokens: 3, completed: 1, completionTokens: 4 };
    const rowsOfB = [
      { ...row, minuteAt: 60_000 },
      { ...row, minuteAt: 120_000, arrivals: 4, completed: 1, completionTokens: 8 },
      // Only the end of a request that had come before.
      { ...row, minuteAt: 180_000, arrivals: 0 },
    ];
    const nobodyAnswered = [{ ...row, minuteAt: 60_000, completed: 0, completionTokens: 0 }];
    const asked = [
      { model: modelIdSchema.parse("b"), rows: rowsOfB },
      { model: modelIdSchema.parse("c"), rows: [] },
      { model: modelIdSchema.parse("a"), rows: nobodyAnswered },
    ];
    expect(demandTrace(asked).trim().split("\n").slice(1)).toEqual(["0,a,1,3,0", "0,b,1,3,5", "60,b,4,3,21"]);
    expect(demandTrace(asked.toReversed())).toBe(demandTrace(asked));
  });

  it("outlives the pool's sleep", async () => {
    const at = await scene();
    await errorOf(await chat(at));
    await (await callAdmin("GET", "/demand")).text();
    // It stays awake until the fleet has heard of the demand.
    await until(() => fallsAsleep(at));
    const rows = await rowsOf(poolOf(at), "SELECT SUM(arrivals) AS n FROM demand");
    expect(rows).toEqual([{ n: 1 }]);
  });
});
