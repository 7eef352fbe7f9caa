import { expect, it } from "vitest";

import { parseCatalog } from "../../../../core/catalog.ts";
import { contextWarnings } from "../../../../core/fleet/served-context.ts";
import { A, aMachineReport, aReport, B } from "./fleet-scene.ts";

/** What an operator is told of a catalog that promises 8,192 tokens of both models. */
function warnings(contexts: Readonly<Record<string, readonly (number | null)[]>>): string[] {
  const parsed = parseCatalog([A, B].map((id) => ({ id, context_length: 8192, size_gb: 1, min_ram_gb: 2 })));
  if (!parsed.ok) throw new Error(parsed.message);
  const reports = Object.entries(contexts).map(([model, all]) => {
    const machines = all.map((contextLength) => aMachineReport({ contextLength }));
    return [model, aReport(model, machines)] as const;
  });
  return contextWarnings(parsed.catalog.entries, new Map(reports));
}

it("warns of a model of which no machine takes what clients are told", () => {
  expect(warnings({ [A]: [4096, 6144], [B]: [4096, 8192] })).toEqual([
    expect.stringMatching(/"a" takes 8192 tokens, and no machine .* takes more than 6144: .*--context/),
  ]);
});

it("warns of none where a machine takes it, or does not say, or none serves", () => {
  expect(warnings({ [A]: [4096, 16_384], [B]: [4096, null] })).toEqual([]);
  expect(warnings({ [A]: [] })).toEqual([]);
});
