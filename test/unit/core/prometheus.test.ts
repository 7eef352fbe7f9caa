import { describe, expect, it } from "vitest";

import { metricsOf } from "../../../core/metrics.ts";
import { Histogram, QUEUE_WAIT, readHistogram, TTFT } from "../../../core/pool/histogram.ts";
import { Totals } from "../../../core/pool/totals.ts";
import { exposition } from "../../../core/prometheus.ts";

describe("the text format", () => {
  it("has help and type once, labels in braces, and escapes what would break a line", () => {
    const labels = { model: 'org/"odd"\\name\nwith a break' };
    const samples = [
      { labels, value: 2 },
      { labels: {}, value: 0.5 },
    ];
    expect(exposition([{ name: "a_total", help: "One\nline.", type: "counter", samples }])).toBe(
      [
        "# HELP a_total One\\nline.",
        "# TYPE a_total counter",
        'a_total{model="org/\\"odd\\"\\\\name\\nwith a break"} 2',
        "a_total 0.5",
        "",
      ].join("\n"),
    );
  });
});

describe("a histogram", () => {
  it("counts each value in the bucket of its bound, and reads cumulative", () => {
    const totals = new Totals([]);
    const histogram = new Histogram(totals, QUEUE_WAIT);
    for (const ms of [0, 10, 11, 30_000, 30_001]) histogram.observe(ms);
    const { cumulative, sumS } = readHistogram(totals.all(), QUEUE_WAIT);
    expect(cumulative).toEqual([2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 5]);
    expect(sumS).toBeCloseTo(60.022);
  });

  it("goes on from what an earlier life has written", () => {
    const first = new Totals([]);
    new Histogram(first, TTFT).observe(100);
    const second = new Totals(first.drain());
    new Histogram(second, TTFT).observe(200);
    expect(readHistogram(second.all(), TTFT).cumulative.at(-1)).toBe(2);
  });
});

describe("metrics", () => {
  const text = exposition(
    metricsOf({
      version: "1.2.3",
      pools: [
        {
          model: "m",
          totals: new Map([
            ["requests.ok", 3],
            ["requests.pool_exhausted", 2],
            ["requests.provider_error", 1],
            ["tokens.prompt", 30],
          ]),
        },
        { model: "silent", totals: null },
      ],
      fleet: {
        demand: [{ model: "m", machines: 5 }],
        pools: [
          {
            model_id: "m",
            desired: 2,
            floor: 0,
            serving: 1,
            loading: 1,
            draining: 0,
            failed: 0,
            unmanaged: 0,
            in_flight: 1,
            queued: 0,
            free_slots: 3,
          },
        ],
        coResidentMachines: 0,
        switches: [
          { model: "m", outcome: "succeeded", switches: 4 },
          { model: "gone", outcome: "failed", switches: 9 },
        ],
      },
    }),
  );

  it.each([
    'poolkeeper_build_info{version="1.2.3"} 1',
    'poolkeeper_pool_up{model="m"} 1',
    'poolkeeper_pool_up{model="silent"} 0',
    'poolkeeper_requests_total{model="m",outcome="ok"} 3',
    'poolkeeper_requests_total{model="m",outcome="pool_exhausted"} 2',
    'poolkeeper_requests_total{model="m",outcome="provider_error"} 1',
    'poolkeeper_shed_total{model="m",reason="pool_exhausted"} 2',
    'poolkeeper_refusals_audited_total{model="m"} 0',
    'poolkeeper_wrong_refusals_total{model="m",reason="queue_full"} 0',
    'poolkeeper_tokens_total{model="m",kind="prompt"} 30',
    'poolkeeper_retries_total{model="m"} 0',
    'poolkeeper_ttft_seconds_bucket{model="m",le="+Inf"} 0',
    'poolkeeper_ttft_seconds_count{model="m"} 0',
    'poolkeeper_queue_wait_seconds_sum{model="m"} 0',
    'poolkeeper_pool_machines{model="m",state="loading"} 1',
    'poolkeeper_demand_machines{model="m"} 5',
    'poolkeeper_pool_desired_machines{model="m"} 2',
    'poolkeeper_switches_total{model="m",outcome="succeeded"} 4',
    "poolkeeper_co_resident_machines 0",
  ])("show %s", (line) => {
    expect(text.split("\n")).toContain(line);
  });

  it("count only what is refused for lack of room as shed, and only models of the catalog", () => {
    expect(text).not.toContain('reason="provider_error"');
    expect(text).not.toContain("gone");
  });

  it("begin every family with its help and type", () => {
    const names = new Set(
      text
        .split("\n")
        .flatMap((line) => /^(poolkeeper_\w+?)(_bucket|_sum|_count)?[ {]/.exec(line)?.[1] ?? []),
    );
    expect(names.size).toBe(18);
    for (const name of names) {
      expect(text).toContain(`# HELP ${name} `);
      expect(text).toMatch(new RegExp(`^# TYPE ${name} (counter|gauge|histogram)$`, "m"));
    }
  });
});
