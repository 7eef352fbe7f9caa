import { describe, expect, it } from "vitest";

import { parseAnswerForm } from "../../provider/src/chat/answer-form.ts";
import { tool } from "./engine-questions.ts";

const TOOLS = ["look", "walk", "take"].map((name) => tool(name, { type: "object", properties: {} }));
const choiceOf = (name: string) => ({ type: "function", function: { name } });
const allowed = (mode: string, ...names: string[]) => ({
  tools: TOOLS,
  tool_choice: { type: "allowed_tools", allowed_tools: { mode, tools: names.map(choiceOf) } },
});

describe("allowed_tools", () => {
  it("leaves the model some of the tools, to call or not", () => {
    const form = parseAnswerForm(allowed("auto", "take", "look", "take"));
    expect(form).toMatchObject({ type: "tools", tools: [{ name: "look" }, { name: "take" }] });
    const format = { response_format: { type: "json_object" } };
    const either = parseAnswerForm({ ...allowed("auto", "walk"), ...format });
    expect(either).toMatchObject({ type: "json_or_tool", tools: [{ name: "walk" }] });
    expect(parseAnswerForm(allowed("auto"))).toEqual({ type: "text" });
  });

  it("has the model call one of them", () => {
    const form = parseAnswerForm(allowed("required", "walk", "look"));
    expect(form).toMatchObject({ type: "forced_tool", tools: [{ name: "look" }, { name: "walk" }] });
  });

  it("is refused with what is wrong with it", () => {
    const refusalOf = (body: Record<string, unknown>) => () => parseAnswerForm(body);
    expect(refusalOf(allowed("auto", "look", "fly"))).toThrow('tool_choice: there is no tool "fly"');
    expect(refusalOf(allowed("required"))).toThrow("tool_choice: is required, but there are no tools");
    expect(refusalOf(allowed("any", "look"))).toThrow('tool_choice.allowed_tools.mode: must be "auto"');
    const custom = { type: "custom", custom: { name: "look" } };
    expect(refusalOf({ tools: TOOLS, tool_choice: custom })).toThrow(
      /^tool_choice.type: must be "function" or/,
    );
    expect(refusalOf({ tools: TOOLS, tool_choice: "any" })).toThrow(/^tool_choice: must be "auto"/);
  });
});

describe("schemas that would hold up a machine", () => {
  const properties = Object.fromEntries(Array.from({ length: 3000 }, (_, index) => [`p${index}`, {}]));
  const large = (name: string) => tool(name, { type: "object", properties });

  it("are refused if they are many together", () => {
    const names = Array.from({ length: 11 }, (_, index) => `f${index}`);
    expect(() => parseAnswerForm({ tools: names.slice(1).map(large) })).not.toThrow();
    expect(() => parseAnswerForm({ tools: names.map(large) })).toThrow(
      /^tools\[10\].*the schema is too large/,
    );
  });

  it("are refused if one has more literals than a schema may have", () => {
    const schema = (length: number) => ({ enum: Array.from({ length }, (_, index) => index) });
    const asked = (length: number) => () =>
      parseAnswerForm({ response_format: { type: "json_object", schema: schema(length) } });
    expect(asked(4000)).not.toThrow();
    expect(asked(5000)).toThrow("response_format.schema: the schema is too large");
  });
});
