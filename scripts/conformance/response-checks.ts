import { z } from "zod";

import type { Check } from "./check.ts";
import { eventsOf, expectShape, expectThat, jsonOf, parse, send, type Target } from "./target.ts";

/** Responses, as OpenAI's newer clients and agents ask for them. */

const ASK = { input: "Hello", max_output_tokens: 64, store: false };

const responseSchema = z.object({
  id: z.string().min(1),
  object: z.literal("response"),
  model: z.string(),
  status: z.enum(["completed", "incomplete"]),
  output: z.array(z.object({ type: z.string() })).min(1),
  usage: z.object({ input_tokens: z.int(), output_tokens: z.int(), total_tokens: z.int() }),
});

async function wholeResponse(target: Target): Promise<void> {
  const body = { model: target.model, ...ASK };
  const response = await jsonOf(await send(target, "/responses", { body }), 200);
  const { output } = expectShape(responseSchema, response, "the response");
  expectThat(
    output.some(({ type }) => type === "message"),
    "no output is a message",
  );
}

const eventSchema = z.looseObject({ type: z.string(), sequence_number: z.int() });

async function streamedResponse(target: Target): Promise<void> {
  const body = { model: target.model, ...ASK, stream: true };
  const events = await eventsOf(await send(target, "/responses", { body }));
  expectThat(
    events.every(({ data }) => data !== "[DONE]"),
    "[DONE] belongs to chats",
  );
  const parsed = events.map(({ name, data }) => {
    const event = expectShape(eventSchema, parse(data), "an event");
    expectThat(name === event.type, `the event ${event.type} is named ${name === "" ? "nothing" : name}`);
    return event;
  });
  const types = parsed.map(({ type }) => type);
  expectThat(types[0] === "response.created", `the first event is ${types[0] ?? "missing"}`);
  const last = types.at(-1) ?? "missing";
  expectThat(/^response\.(completed|incomplete)$/.test(last), `the last event is ${last}`);
  expectThat(
    parsed.every(({ sequence_number }, index) => sequence_number === index),
    "sequence_number does not count from 0",
  );
  const isOpened = types.indexOf("response.content_part.added");
  const firstText = types.indexOf("response.output_text.delta");
  expectThat(firstText > isOpened && isOpened > 0, "text comes before the part that it belongs to");
}

export const RESPONSE_CHECKS: readonly Check[] = [
  { id: "responses.whole", rule: "a response is completed, has a message and usage", run: wholeResponse },
  {
    id: "responses.stream",
    rule: "events are named, numbered, in order, and end without [DONE]",
    run: streamedResponse,
  },
];
