import { describe, expect, it } from "vitest";

import { encodeError } from "../../../core/api-error.ts";
import { REMEMBERED_CHARS_MAX } from "../../../core/limits.ts";
import { Conversations } from "../../../worker/openai/conversations.ts";
import { readCreate, ResponseTurn } from "../../../worker/openai/response-turn.ts";
import { apiErrorOf } from "../../support/translation.ts";

/** One turn on a WebSocket: what is posted for it, what its client gets, and what is remembered of it. */

const SAID = { type: "message", role: "assistant", content: [{ type: "output_text", text: "ho" }] };

const turnOf = (conversations: Conversations, fields: object): ResponseTurn =>
  new ResponseTurn(
    readCreate(JSON.stringify({ type: "response.create", model: "m", ...fields })),
    conversations,
  );
const bodyOf = (turn: ResponseTurn): unknown => JSON.parse(turn.body);
const told = (turn: ResponseTurn, event: object): unknown => JSON.parse(turn.event(JSON.stringify(event)));

/** The last event of a turn that has said something. */
const ended = (id: string, type = "response.completed", output: object[] = [SAID]) => ({
  type,
  response: { id, output },
});

/** A turn of these fields that came to its end. */
function finished(conversations: Conversations, id: string, fields: object, type?: string): ResponseTurn {
  const turn = turnOf(conversations, fields);
  told(turn, ended(id, type));
  return turn;
}

const next = (conversations: Conversations, id: string, fields: object = {}): unknown =>
  bodyOf(turnOf(conversations, { input: "and?", previous_response_id: id, ...fields }));
const says = (content: string) => ({ type: "message", role: "user", content });
const isForgotten = (conversations: Conversations, id: string): object =>
  apiErrorOf(() => turnOf(conversations, { input: "and?", previous_response_id: id }));

describe("what a turn posts", () => {
  it("is its fields, streamed, without those that are of the connection", () => {
    const turn = turnOf(new Conversations(), { input: "hi", stream: false, stream_id: "a", seed: 7 });
    expect(bodyOf(turn)).toEqual({ model: "m", input: "hi", seed: 7, stream: true });
  });

  it("has all that was said before, and what is only new behind it", () => {
    const conversations = new Conversations();
    finished(conversations, "resp_1", { input: "hi" });
    const second = turnOf(conversations, { input: [says("a"), says("b")], previous_response_id: "resp_1" });
    expect(bodyOf(second)).toEqual({
      model: "m",
      input: [says("hi"), SAID, says("a"), says("b")],
      stream: true,
    });
    told(second, ended("resp_2", "response.incomplete"));
    expect(next(conversations, "resp_2")).toMatchObject({
      input: [says("hi"), SAID, says("a"), says("b"), SAID, says("and?")],
    });
  });

  it.each([[7], [{ a: 1 }], [null]])("is what the client has sent where that is no input: %j", (input) => {
    const conversations = new Conversations();
    finished(conversations, "resp_1", { input: "hi" });
    expect(next(conversations, "resp_1", { input })).toMatchObject({ input });
  });

  it.each(["response.steer", "", 7])("is nothing for another event than response.create: %j", (type) => {
    const error = apiErrorOf(() => readCreate(JSON.stringify({ type, model: "m" })));
    expect(error).toMatchObject({
      code: "invalid_request",
      param: "type",
      message: "type: the only event that is taken is response.create",
    });
  });

  it("is nothing for what is no JSON", () => {
    expect(apiErrorOf(() => readCreate("{no"))).toMatchObject({
      message: expect.stringMatching(
        /^an event is a text frame of JSON; this one is not valid JSON: /,
      ) as string,
    });
  });

  it.each(["", "a b", "x".repeat(257)])("is nothing on a lane of the name %j", (stream_id) => {
    const error = apiErrorOf(() => readCreate(JSON.stringify({ type: "response.create", stream_id })));
    expect(error).toMatchObject({
      param: "stream_id",
      message: expect.stringContaining("must have 1 to 256") as string,
    });
  });
});

describe("what a turn's client gets", () => {
  it.each([
    [{}, {}],
    [{ stream_id: "a.b-c_1" }, { stream_id: "a.b-c_1" }],
  ])("is on the lane of its request: %j", (lane, expected) => {
    const conversations = new Conversations();
    const turn = turnOf(conversations, { input: "hi", ...lane });
    const delta = { type: "response.output_text.delta", delta: "h" };
    expect(told(turn, delta)).toEqual({ ...delta, ...expected });
    expect(turn.isOver).toBe(false);
    const error = encodeError({ code: "rate_limited", message: "later", retryAfterS: 2 });
    expect(JSON.parse(turn.fail(error))).toEqual({
      type: "error",
      status: 429,
      error: {
        message: "later",
        type: expect.any(String) as string,
        code: "rate_limited",
        param: null,
        headers: expect.objectContaining({ "retry-after": "2" }) as object,
      },
      ...expected,
    });
    expect(JSON.parse(turn.fail(error))).not.toHaveProperty("error.headers.content-type");
    expect(turn.isOver).toBe(true);
  });

  it("says in each response from which it goes on", () => {
    const conversations = new Conversations();
    const first = turnOf(conversations, { input: "hi" });
    expect(told(first, { type: "response.created", response: { id: "resp_1", output: [] } })).toMatchObject({
      response: { previous_response_id: null },
    });
    expect(first.isOver).toBe(false);
    told(first, ended("resp_1"));
    const second = turnOf(conversations, { input: "and?", previous_response_id: "resp_1" });
    expect(told(second, ended("resp_2"))).toMatchObject({ response: { previous_response_id: "resp_1" } });
  });

  it.each([
    ["response.completed", true],
    ["response.incomplete", true],
    ["response.failed", true],
    ["response.in_progress", false],
  ])("is over with %s: %j", (type, isOver) => {
    expect(finished(new Conversations(), "resp_1", { input: "hi" }, type).isOver).toBe(isOver);
  });
});

describe("what is remembered of a turn", () => {
  it("is nothing of one that has not ended, or of another connection", () => {
    const conversations = new Conversations();
    told(turnOf(conversations, { input: "hi" }), ended("resp_1", "response.in_progress"));
    const long = `resp_${"1".repeat(200)}`;
    expect(isForgotten(conversations, "resp_1")).toEqual({
      code: "previous_response_not_found",
      param: "previous_response_id",
      message: 'this connection does not remember the response "resp_1"; send the whole conversation',
    });
    expect(isForgotten(conversations, long)).toMatchObject({
      message: `this connection does not remember the response "${long.slice(0, 100)}"; send the whole conversation`,
    });
  });

  it.each([
    ["a refusal", (turn: ResponseTurn) => turn.fail(encodeError({ code: "internal", message: "no" }))],
    ["a failure", (turn: ResponseTurn) => told(turn, ended("resp_2", "response.failed"))],
  ])("is gone after %s of the next on its lane, and stays after one on another", (_, fail) => {
    for (const [lane, other] of [
      [{}, { stream_id: "a" }],
      [{ stream_id: "a" }, {}],
    ]) {
      const conversations = new Conversations();
      finished(conversations, "resp_1", { input: "hi", ...lane });
      const from = { input: "and?", previous_response_id: "resp_1" };
      fail(turnOf(conversations, { ...from, ...other }));
      fail(turnOf(conversations, { input: "hi", ...lane }));
      expect(next(conversations, "resp_1")).toMatchObject({ input: [says("hi"), SAID, says("and?")] });
      fail(turnOf(conversations, { ...from, ...lane }));
      expect(isForgotten(conversations, "resp_1")).toMatchObject({ code: "previous_response_not_found" });
    }
  });

  it("is nothing above the limit for all that was said", () => {
    const half = "x".repeat(REMEMBERED_CHARS_MAX / 2);
    const conversations = new Conversations();
    finished(conversations, "resp_1", { input: half });
    const second = turnOf(conversations, { input: half, previous_response_id: "resp_1" });
    told(second, ended("resp_2"));
    expect(isForgotten(conversations, "resp_2")).toMatchObject({ code: "previous_response_not_found" });
  });
});
