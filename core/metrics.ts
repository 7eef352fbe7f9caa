import { isRateLimit } from "./api-error.ts";
import type { SwitchTotal } from "./fleet/machine.ts";
import type { Utilization } from "./fleet/utilization.ts";
import { QUEUE_WAIT, readHistogram, TTFT, type HistogramSpec } from "./pool/histogram.ts";
import { AUDITED, FOR_WANT_OF_ROOM, WRONGLY_REFUSED } from "./pool/refusal-audit.ts";
import {
  CACHED_TOKENS,
  COMPLETION_TOKENS,
  PROMPT_TOKENS,
  REQUESTS,
  RETRIES,
} from "./pool/request-metrics.ts";
import { histogramSamples, type Metric, type Sample } from "./prometheus.ts";

/**
 * What `GET /metrics` shows. Labels are bounded: models are those of the catalog, everything else is a closed set; keys,
 * machines and owners are never labels.
 */

export interface MetricsSource {
  readonly version: string;
  /** Counters of each pool of the catalog; null for one that did not answer. */
  readonly pools: readonly { readonly model: string; readonly totals: ReadonlyMap<string, number> | null }[];
  /** What the fleet says; null if it did not answer. */
  readonly fleet: FleetMetrics | null;
}

export interface FleetMetrics {
  readonly pools: Utilization["model_pools"]["pools"];
  readonly demand: readonly { readonly model: string; readonly machines: number }[];
  readonly coResidentMachines: number;
  readonly switches: readonly SwitchTotal[];
}

/** With the counters of each pool of the catalog, by its model; null for one that did not answer. */
export interface FleetScrape extends FleetMetrics {
  readonly totals: ReadonlyMap<string, ReadonlyMap<string, number> | null>;
}

export function metricsOf(source: MetricsSource): Metric[] {
  return [
    gauge("poolkeeper_build_info", "The version that runs; always 1.", [
      { labels: { version: source.version }, value: 1 },
    ]),
    gauge(
      "poolkeeper_pool_up",
      "Whether the pool has answered this scrape, or has nothing new to say.",
      source.pools.map(({ model, totals }) => ({ labels: { model }, value: totals === null ? 0 : 1 })),
    ),
    ...requestMetrics(source),
    ...fleetMetrics(source),
  ];
}

type Pools = readonly { readonly model: string; readonly totals: ReadonlyMap<string, number> }[];

function requestMetrics(source: MetricsSource): Metric[] {
  const pools = source.pools.flatMap(({ model, totals }) => (totals === null ? [] : [{ model, totals }]));
  return [
    counter(
      "poolkeeper_requests_total",
      "Requests that reached a pool or were refused by its verdict at the edge, by outcome: ok, cancelled or the error's code.",
      pools.flatMap(({ model, totals }) =>
        outcomes(totals).map(([outcome, value]) => ({ labels: { model, outcome }, value })),
      ),
    ),
    counter(
      "poolkeeper_shed_total",
      "Those of them that were refused for lack of room or of a machine, by the reason told.",
      pools.flatMap(({ model, totals }) =>
        outcomes(totals)
          .filter(([outcome]) => isRateLimit(outcome))
          .map(([reason, value]) => ({ labels: { model, reason }, value })),
      ),
    ),
    counter(
      "poolkeeper_refusals_audited_total",
      "Refusals for want of room for which every machine was asked once more.",
      each(pools, AUDITED),
    ),
    counter(
      "poolkeeper_wrong_refusals_total",
      "Those of them that a machine had room for, by the reason told: a defect.",
      pools.flatMap(({ model, totals }) =>
        FOR_WANT_OF_ROOM.map((reason) => ({
          labels: { model, reason },
          value: totals.get(WRONGLY_REFUSED + reason) ?? 0,
        })),
      ),
    ),
    counter("poolkeeper_retries_total", "Attempts after the first of a request.", each(pools, RETRIES)),
    counter("poolkeeper_tokens_total", "Tokens of answered requests, as machines counted them.", [
      ...each(pools, PROMPT_TOKENS, { kind: "prompt" }),
      ...each(pools, CACHED_TOKENS, { kind: "cached" }),
      ...each(pools, COMPLETION_TOKENS, { kind: "completion" }),
    ]),
    histogram(
      "poolkeeper_ttft_seconds",
      "From when all of a request was at the edge to its first token.",
      TTFT,
      pools,
    ),
    histogram(
      "poolkeeper_queue_wait_seconds",
      "From a request's arrival in its pool to the machine, or until it had waited in vain.",
      QUEUE_WAIT,
      pools,
    ),
  ];
}

function fleetMetrics({ fleet, pools }: MetricsSource): Metric[] {
  if (fleet === null) return [];
  const models = new Set<string>(pools.map(({ model }) => model));
  const rows = fleet.pools.filter(({ model_id }) => models.has(model_id));
  const perModel = (of: (row: (typeof rows)[number]) => number): Sample[] =>
    rows.map((row) => ({ labels: { model: row.model_id }, value: of(row) }));
  const demand = new Map<string, number>(fleet.demand.map(({ model, machines }) => [model, machines]));
  return [
    gauge(
      "poolkeeper_pool_machines",
      "Machines of each pool, by state; unmanaged ones are in the pools of all their models.",
      rows.flatMap(({ model_id: model, serving, loading, draining, failed, unmanaged }) =>
        Object.entries({ serving, loading, draining, failed, unmanaged }).map(([state, value]) => ({
          labels: { model, state },
          value,
        })),
      ),
    ),
    gauge(
      "poolkeeper_demand_machines",
      "Machines that the demand measured at the last tick would keep busy.",
      perModel(({ model_id }) => demand.get(model_id) ?? 0),
    ),
    gauge(
      "poolkeeper_pool_desired_machines",
      "Machines that placement or an operator wants for the model.",
      perModel(({ desired }) => desired),
    ),
    gauge(
      "poolkeeper_pool_in_flight",
      "Requests on machines now.",
      perModel(({ in_flight }) => in_flight),
    ),
    gauge(
      "poolkeeper_pool_queued",
      "Requests waiting in line now.",
      perModel(({ queued }) => queued),
    ),
    gauge(
      "poolkeeper_pool_free_slots",
      "Requests that routable machines have room for now.",
      perModel(({ free_slots }) => free_slots),
    ),
    counter(
      "poolkeeper_switches_total",
      "Switches of machines to the model, by how they ended.",
      fleet.switches
        .filter(({ model }) => models.has(model))
        .map(({ model, outcome, switches }) => ({ labels: { model, outcome }, value: switches })),
    ),
    gauge("poolkeeper_co_resident_machines", "Machines with more than one model in memory: a defect.", [
      { labels: {}, value: fleet.coResidentMachines },
    ]),
  ];
}

/** `ok` is there from the start, so that its rate can be asked for. */
function outcomes(totals: ReadonlyMap<string, number>): [outcome: string, value: number][] {
  const found = [...totals]
    .filter(([name]) => name.startsWith(REQUESTS))
    .map(([name, value]): [string, number] => [name.slice(REQUESTS.length), value]);
  return totals.has(`${REQUESTS}ok`) ? found : [["ok", 0], ...found];
}

function each(pools: Pools, name: string, labels: Record<string, string> = {}): Sample[] {
  return pools.map(({ model, totals }) => ({ labels: { model, ...labels }, value: totals.get(name) ?? 0 }));
}

function counter(name: string, help: string, samples: readonly Sample[]): Metric {
  return { name, help, type: "counter", samples };
}

function gauge(name: string, help: string, samples: readonly Sample[]): Metric {
  return { name, help, type: "gauge", samples };
}

function histogram(name: string, help: string, spec: HistogramSpec, pools: Pools): Metric {
  const samples = pools.flatMap(({ model, totals }) =>
    histogramSamples({ model }, spec.boundsS, readHistogram(totals, spec)),
  );
  return { name, help, type: "histogram", samples };
}
