import { describe, expect, it, vi } from "vitest";

import type { ModelCapacity } from "../../core/fleet/capacity.ts";
import { CAPACITY_TTL_MS } from "../../core/limits.ts";
import { Fleet } from "../../durable-objects/fleet.ts";
import { expectAnswer, join } from "./fake-provider.ts";
import { advanceClock, fetchEdge, poolOf, scene, setFlag, stopClock, type Scene } from "./scene.ts";

const past = (at: Scene): Promise<void> => advanceClock(poolOf(at), CAPACITY_TTL_MS);

/** The cells of a model's row, and the page's title. */
async function rowOf(at: Scene): Promise<{ cells: string[]; title: string }> {
  const response = await fetchEdge("/status");
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toMatch(/^text\/html/);
  const text = await response.text();
  const row = text.split("<tr>").find((part) => part.includes(`>${at.model}<`)) ?? "";
  const cells = [...row.matchAll(/<td>([^<]*)<\/td>/g)].map(([, cell = ""]) => cell);
  return { cells, title: /<title>([^<]*)/.exec(text)?.[1] ?? "" };
}

const SERVES: Omit<ModelCapacity, "id"> = {
  serving: 1,
  slots: 4,
  free_slots: 4,
  context_length: null,
  exhausted: false,
  queued: 0,
  ttft_p50_ms: null,
  loading: 0,
  eta_s: null,
};

const AWAY = { serving: 0, slots: 0, free_slots: 0 };

const TITLES: readonly (readonly [string, readonly Partial<ModelCapacity>[]])[] = [
  ["All models serve", [{}, { free_slots: 0, queued: 3 }]],
  ["1 of 2 models does not serve", [{}, { ...AWAY, exhausted: true }]],
  [
    "2 of 2 models do not serve",
    [AWAY, { serving: null, slots: null, free_slots: null, exhausted: null, queued: null }],
  ],
  ["Status", []],
];

describe("the status page", () => {
  it("says to anybody what each model can take, and so if that cannot be found out; it runs nothing and loads nothing", async () => {
    await stopClock();
    const at = await scene({ max_concurrency: 3 });
    await past(at);
    expect(await rowOf(at)).toEqual({
      cells: ["not served", "–", "–"],
      title: expect.stringMatching(/^\d+ of \d+ models (do|does) not serve$/),
    });
    const machine = await join(at);
    await expectAnswer(at, machine);
    await past(at);
    const { cells } = await rowOf(at);
    expect(cells).toEqual(["serves", "3 of 3 requests", expect.stringMatching(/^\d+\.\d s$/)]);
    await setFlag("shed_models", at.model);
    await past(at);
    expect((await rowOf(at)).cells[0]).toBe("not served");
    await setFlag("shed_models", "");
    const silent = vi.spyOn(Fleet.prototype, "capacity").mockImplementation(() => {
      throw new Error("silenced by the test");
    });
    const warned = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    await advanceClock(poolOf(at), 2 * CAPACITY_TTL_MS);
    const response = await fetchEdge("/status");
    expect(response.status).toBe(503);
    const policy = response.headers.get("content-security-policy");
    expect(policy).toBe("default-src 'none'; style-src 'unsafe-inline'");
    const text = await response.text();
    expect(text).toContain("It cannot be found out at the moment");
    expect(text).not.toMatch(/<script|src=|href=/);
    expect(warned).toHaveBeenCalledWith(expect.objectContaining({ event: "fleet_unreachable" }));
    silent.mockRestore();
    warned.mockRestore();
  });

  it("has in its title whether all serve, and no word that is none where nothing is known", async () => {
    await stopClock();
    const told = vi.spyOn(Fleet.prototype, "capacity");
    for (const [title, models] of TITLES) {
      const data = models.map((fields, index) => ({ id: `m-${index}`, ...SERVES, ...fields }));
      told.mockResolvedValue({ at: 0, models: data });
      // Further than the clock of the test before has gone ahead of the real one.
      vi.setSystemTime(Date.now() + 60_000);
      const text = await (await fetchEdge("/status")).text();
      expect(text).toContain(`<title>${title}</title>`);
      expect(text).not.toContain("0 of 0");
      expect(text).not.toContain("&quot;");
    }
    told.mockRestore();
  });
});
