import type { RowSpec } from "../row.ts";
import { SLOTS_PER_MACHINE } from "../support/coordinator.ts";
import { CHAT } from "../support/work.ts";
import type { Targets } from "../targets.ts";
import { measure, newTotal, perUnit } from "./compare.ts";

/** CPU for a long request as coding agents send it: all of it is parsed, checked and hashed, which bare workerd does not do. */

const ROUNDS = 3;
const CONCURRENCY = 16;
const MOST_OF_BARE = 2;

const TOOLS = 20;
const FIELDS_PER_TOOL = 6;

/** 45 kB as JSON, half of it tools. */
const AGENT = {
  messages: [
    { role: "system", content: "You are a coding agent, and careful with the files of others. ".repeat(240) },
    { role: "user", content: "Find out why the build fails, and mend it. ".repeat(160) },
  ],
  tools: Array.from({ length: TOOLS }, (_, tool) => ({
    type: "function",
    function: {
      name: `tool_${tool}`,
      description: "Reads lines of a file and returns them with their numbers. ".repeat(6),
      parameters: {
        type: "object",
        properties: Object.fromEntries(
          Array.from({ length: FIELDS_PER_TOOL }, (_field, index) => [
            `field_${index}`,
            { type: "string", description: "What it is about, in a few words of plain text." },
          ]),
        ),
        required: ["field_0"],
      },
    },
  })),
};

export function agent(targets: () => Promise<Targets>): RowSpec {
  const kB = (JSON.stringify(AGENT).length / 1000).toFixed(0);
  return {
    work: `non-stream chat of an agent, ${kB} kB with ${TOOLS} tools, CPU per request`,
    target: `at most ${MOST_OF_BARE} times bare workerd's`,
    async run(quick) {
      const { coordinator, bare } = await targets();
      const machines = CONCURRENCY / SLOTS_PER_MACHINE;
      await Promise.all([coordinator.growTo(machines), bare.growTo(machines)]);
      const spec = { unit: "request", load: CHAT, concurrency: CONCURRENCY, fields: AGENT } as const;
      const [product, ofBare] = [newTotal(), newTotal()];
      for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
        await measure(coordinator.target, spec, product, quick);
        await measure(bare.target, spec, ofBare, quick);
      }
      const ratio = perUnit(product) / perUnit(ofBare);
      return {
        reached:
          `${perUnit(product).toFixed(0)} µs per request: ${ratio.toFixed(2)} times bare workerd's ` +
          `(${perUnit(ofBare).toFixed(0)} µs)`,
        met: ratio <= MOST_OF_BARE,
      };
    },
  };
}
