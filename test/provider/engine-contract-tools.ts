import { describe, expect, it } from "vitest";

import type { LoadedModel } from "../../provider/src/engine.ts";
import { ask, hello, tool } from "./engine-questions.ts";

/**
 * What the agent relies on where an engine calls tools.
 * @param loaded the model that all of it is asked of.
 */
export function describeToolCalls(loaded: () => LoadedModel): void {
  describe("calling tools", () => {
    const weather = tool("get_weather", {
      type: "object",
      properties: { city: { type: "string", maxLength: 20 }, unit: { enum: ["c", "f"] } },
      required: ["city", "unit"],
    });
    const time = tool("get_time", { type: "object", properties: {} });

    it("calls the tool that is named", async () => {
      const choice = { type: "function", function: { name: "get_weather" } };
      const { events, args, content, result } = await ask(loaded(), {
        ...hello(),
        seed: 5,
        tools: [time, weather],
        tool_choice: choice,
        // Within the arguments it would only break the JSON.
        stop: ['"', "c"],
      });
      expect(result.finishReason).toBe("tool_calls");
      expect(content).toBe("");
      expect(events[0]).toMatchObject({ type: "tool_call", index: 0, name: "get_weather" });
      expect(events.filter(({ type }) => type === "tool_call")).toHaveLength(1);
      const parsed = JSON.parse(args) as Record<string, unknown>;
      expect(Object.keys(parsed)).toStrictEqual(["city", "unit"]);
      expect(["c", "f"]).toContain(parsed["unit"]);
    });

    it("calls one of the tools when one is required", async () => {
      const { events, args } = await ask(loaded(), {
        ...hello(),
        tools: [time, weather],
        tool_choice: "required",
      });
      const [call] = events;
      expect(["get_time", "get_weather"]).toContain(call?.type === "tool_call" ? call.name : call?.type);
      expect(JSON.parse(args)).toBeTypeOf("object");
    });

    it("answers with JSON or a call when there are tools and a format", async () => {
      for (const seed of [1, 2, 3, 4]) {
        const format = { type: "json_schema", json_schema: { name: "x", schema: { enum: ["yes", "no"] } } };
        const body = { ...hello(), seed, tools: [time], response_format: format };
        const { events, content, result } = await ask(loaded(), body);
        const called = events.some(({ type }) => type === "tool_call");
        expect(result.finishReason).toBe(called ? "tool_calls" : "stop");
        expect(called ? [""] : ['"yes"', '"no"']).toContain(content);
        const forced = await ask(loaded(), { ...body, tool_choice: "required" });
        expect(forced.events[0]).toMatchObject({ type: "tool_call", name: "get_time" });
      }
    });

    it("answers with text when tools must not be called", async () => {
      const { events } = await ask(loaded(), {
        ...hello(),
        tools: [weather],
        tool_choice: "none",
        max_tokens: 5,
      });
      expect(events.every(({ type }) => type === "content")).toBe(true);
    });

    it("goes on after the result of a call", async () => {
      const call = {
        id: "call_9",
        type: "function",
        function: { name: "get_weather", arguments: '{"city":"Rome"}' },
      };
      const { content } = await ask(loaded(), {
        messages: [
          { role: "user", content: "How is the weather?" },
          { role: "assistant", content: null, tool_calls: [call] },
          { role: "tool", tool_call_id: "call_9", content: "sunny" },
        ],
        tools: [weather],
        temperature: 0,
      });
      expect(content).not.toBe("");
    });
  });
}
