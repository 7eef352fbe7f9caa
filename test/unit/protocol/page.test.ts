import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { CLOSE } from "../../../protocol/close-codes.ts";
import { decodeDownstream, decodeUpstream } from "../../../protocol/codec.ts";
import { downstreamSchema } from "../../../protocol/downstream.ts";
import { upstreamSchema } from "../../../protocol/upstream.ts";

/** docs/protocol.md says what the schemas say: whoever writes a provider has nothing but the page. */

const page = readFileSync(new URL("../../../docs/protocol.md", import.meta.url), "utf8");

/** The text under the heading of a message, which may stand there with others. */
function sectionOf(type: string): string {
  const sections = page.split(/^(?=#{2,3} )/m);
  return sections.find((section) => section.split("\n")[0]?.includes(`\`${type}\``)) ?? "";
}

/** The first cells of a table under these words, without the ticks. */
function firstCells(text: string, heading: string): string[] {
  const table = text.split("\n\n").find((block) => block.startsWith(`| ${heading} `)) ?? "";
  return [...table.matchAll(/^\| `?([a-z_0-9]+)`? +\|/gm)].map(([, cell]) => cell ?? "").slice(1);
}

const messages = [
  ...upstreamSchema.options.map(({ shape }) => ({ shape, decode: decodeUpstream })),
  ...downstreamSchema.options.map(({ shape }) => ({ shape, decode: decodeDownstream })),
].map(({ shape, decode }) => ({
  type: shape.type.value,
  decode,
  fields: Object.keys(shape).filter((field) => field !== "type"),
}));

describe("the page of the protocol", () => {
  it.each(messages)("names every field of $type, and in its table no other", ({ type, fields }) => {
    const section = sectionOf(type);
    const isNamed = (field: string): boolean =>
      section.includes(`\`${field}\``) || section.includes(`"${field}":`);
    expect(fields.filter((field) => !isNamed(field))).toEqual([]);
    const listed = firstCells(section, "field");
    expect(listed.filter((field) => !fields.includes(field))).toEqual([]);
  });

  it("shows examples that parse", () => {
    const blocks = [...page.matchAll(/```json\n(.*?)```/gs)].map(([, text]) => text ?? "");
    const inline = [...page.matchAll(/`(\{"type":[^`]*\})`/g)].map(([, text]) => text ?? "");
    const examples = [...blocks, ...inline];
    expect(examples.length).toBeGreaterThanOrEqual(6);
    for (const example of examples) {
      const known = messages.find(({ type }) => example.includes(`"${type}"`));
      expect([example, known?.decode(example).ok]).toEqual([example, true]);
    }
  });

  it("lists every close code, and no other of ours", () => {
    const listed = firstCells(page, "code | meaning").map(Number);
    expect(listed).toEqual(Object.values(CLOSE).map(({ code }) => code));
  });
});
