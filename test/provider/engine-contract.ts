import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";

import type { Engine, LoadedModel, LocalModel } from "../../provider/src/engine.ts";
import { describeToolCalls } from "./engine-contract-tools.ts";
import { describeVectors } from "./engine-contract-vectors.ts";
import { ask, failure, hello, tool, type Body } from "./engine-questions.ts";
import { UNSUPPORTED, WRONG } from "./engine-refusals.ts";

/** What the agent relies on in every engine. Both the real one and the fake run through it. */

export interface EngineContract {
  readonly model: LocalModel;
  readonly contextTokens: number;
  /** A request whose answer has some hundred events, the same ones each time. */
  readonly longRequest: () => Body;
  /** A text that takes about this many tokens. */
  readonly textOfTokens: (tokens: number) => string;
}

const SLOTS = 4;

export function describeEngineContract(
  name: string,
  createEngine: () => Engine,
  contract: EngineContract,
): void {
  const { model, contextTokens, longRequest, textOfTokens } = contract;
  const load = (signal = new AbortController().signal): Promise<LoadedModel> =>
    createEngine().load(model, { slots: SLOTS, contextTokens, signal });

  describe(`the contract of an engine, kept by ${name}`, () => {
    let loaded: LoadedModel;
    beforeAll(async () => {
      loaded = await load();
    });
    afterAll(async () => {
      await loaded.unload();
    });

    describe("loading", () => {
      it("reports progress that rises from 0 to 1 and ends before load does", async () => {
        const progress: number[] = [];
        const signal = new AbortController().signal;
        const options = { slots: 1, contextTokens, signal, onProgress: (p: number) => void progress.push(p) };
        const one = await createEngine().load(model, options);
        const reported = progress.length;
        await ask(one, { messages: [{ role: "user", content: "Hello" }] });
        await one.unload();
        expect(progress[0]).toBe(0);
        expect(progress.at(-1)).toBe(1);
        expect(progress).toStrictEqual(progress.toSorted((a, b) => a - b));
        expect(progress).toHaveLength(reported);
      });

      it("says which model it holds, and with how many slots of which size", () => {
        expect(loaded.model).toBe(model);
        expect(loaded.slots).toBe(SLOTS);
        expect(loaded.contextTokens).toBe(contextTokens);
      });

      it("rejects with the signal's reason when the load is given up", async () => {
        const abort = new AbortController();
        const reason = new Error("another model is wanted");
        const loading = createEngine().load(model, {
          slots: 1,
          contextTokens,
          signal: abort.signal,
          onProgress: () => abort.abort(reason),
        });
        await expect(loading).rejects.toBe(reason);
      });

      it("does not begin a load that was given up before", async () => {
        const reason = new Error("too late");
        await expect(load(AbortSignal.abort(reason))).rejects.toBe(reason);
      });
    });

    describe("answering", () => {
      it("streams the answer in pieces and counts what was used", async () => {
        const { events, result, content } = await ask(loaded, {
          messages: [
            { role: "system", content: "Be kind." },
            {
              role: "user",
              content: [
                { type: "text", text: "Tell me " },
                { type: "text", text: "about love." },
              ],
            },
          ],
          temperature: 0,
        });
        expect(events.length).toBeGreaterThan(1);
        expect(content).not.toBe("");
        expect(result.finishReason).toBe("stop");
        expect(result.stopText).toBeUndefined();
        expect(result.usage.promptTokens).toBeGreaterThan(4);
        expect(result.usage.completionTokens).toBeGreaterThanOrEqual(events.length);
        expect(result.usage.completionTokens).toBeLessThan(content.length);
        expect(result.prefillMs).toBeGreaterThanOrEqual(0);
        expect(result.decodeMs).toBeGreaterThanOrEqual(0);
      });

      it.each([
        ["max_tokens", { max_tokens: 3 }],
        ["max_completion_tokens", { max_completion_tokens: 3 }],
        ["the newer of both names", { max_tokens: 7, max_completion_tokens: 3 }],
      ])("ends at %s with the reason length", async (_, limit) => {
        const { result } = await ask(loaded, { ...longRequest(), ...limit });
        expect(result.finishReason).toBe("length");
        expect(result.usage.completionTokens).toBe(3);
      });

      it("cuts the answer before a stop text, wherever the pieces break", async () => {
        const { content } = await ask(loaded, longRequest());
        const stop = content.slice(40, 45);
        const { content: cut, result } = await ask(loaded, {
          ...longRequest(),
          stop: ["\u0000 never", stop],
        });
        expect(cut).toBe(content.slice(0, content.indexOf(stop)));
        expect(result).toMatchObject({ finishReason: "stop", stopText: stop });
        // It is far behind what fits into the limit.
        const { result: limited } = await ask(loaded, { ...longRequest(), stop, max_tokens: 3 });
        expect(limited.finishReason).toBe("length");
        expect(limited.stopText).toBeUndefined();
      });

      it("answers with JSON of the schema that was asked for", async () => {
        const schema = {
          type: "object",
          properties: {
            mood: { enum: ["glad", "sad"] },
            line: { type: "string", maxLength: 20 },
            stars: { type: "integer", minimum: 1, maximum: 5 },
            more: { anyOf: [{ type: "null" }, { type: "boolean" }] },
          },
          required: ["mood", "line", "stars", "more"],
          additionalProperties: false,
        };
        const format = { type: "json_schema", json_schema: { name: "verse", strict: true, schema } };
        for (const seed of [1, 2, 3]) {
          const { content, result } = await ask(loaded, { ...hello(), seed, response_format: format });
          expect(result.finishReason).toBe("stop");
          const verse = JSON.parse(content) as Record<string, unknown>;
          expect(Object.keys(verse)).toStrictEqual(["mood", "line", "stars", "more"]);
          expect(["glad", "sad"]).toContain(verse["mood"]);
          expect(String(verse["line"]).length).toBeLessThanOrEqual(20);
          expect([1, 2, 3, 4, 5]).toContain(verse["stars"]);
          expect([null, true, false]).toContain(verse["more"]);
        }
      });

      it("answers with some JSON object in JSON mode", async () => {
        const body = { ...hello(), seed: 7, response_format: { type: "json_object" } };
        const { content } = await ask(loaded, body);
        expect(JSON.parse(content)).toBeTypeOf("object");
      });

      it("holds patterns and formats, in JSON and in a forced call", async () => {
        const fields = z.object({
          id: z.uuid(),
          at: z.iso.datetime(),
          code: z.string().regex(/^[A-Z]{3}$/),
          to: z.email().max(40),
          say: z.string().regex(/^"[^"]{1,9}"\n$/),
        });
        const { $schema: _, ...schema } = z.toJSONSchema(fields);
        const format = { type: "json_schema", json_schema: { name: "x", strict: true, schema } };
        const forced = { tools: [tool("send", schema)], tool_choice: "required" };
        for (const seed of [1, 2, 3]) {
          const { content } = await ask(loaded, { ...hello(), seed, response_format: format });
          expect(fields.safeParse(JSON.parse(content)).error).toBeUndefined();
          const { args } = await ask(loaded, { ...hello(), seed, ...forced });
          expect(fields.safeParse(JSON.parse(args)).error).toBeUndefined();
        }
      });

      it("holds JSON mode to a schema, as llama-server does", async () => {
        const schema = {
          type: "object",
          properties: { mood: { enum: ["glad", "sad"] } },
          required: ["mood"],
        };
        const body = { ...hello(), seed: 7, response_format: { type: "json_object", schema } };
        const { content } = await ask(loaded, body);
        expect(Object.keys(JSON.parse(content) as object)).toStrictEqual(["mood"]);
      });
    });

    describeVectors(() => loaded, load, contract);

    describeToolCalls(() => loaded);

    describe("running several requests", () => {
      it("writes the answers of all slots at the same time", async () => {
        const order: number[] = [];
        const run = (id: number) => ask(loaded, longRequest(), { onEvent: () => void order.push(id) });
        const ids = Array.from({ length: SLOTS }, (_, id) => id);
        await Promise.all(ids.map(run));
        expect(new Set(order).size).toBe(SLOTS);
        const lastStart = Math.max(...ids.map((id) => order.indexOf(id)));
        const firstEnd = Math.min(...ids.map((id) => order.lastIndexOf(id)));
        expect(lastStart).toBeLessThan(firstEnd);
      });

      it("refuses one more than it has slots", async () => {
        const abort = new AbortController();
        const runs = Array.from({ length: SLOTS }, () =>
          ask(loaded, longRequest(), { signal: abort.signal }),
        );
        const error = await failure(ask(loaded, longRequest()));
        abort.abort();
        await Promise.all(runs);
        expect(error).toMatchObject({ class: "capacity", code: "no_free_slot" });
      });
    });

    describe("aborting", () => {
      it("emits nothing after the abort, and leaves the other streams alone", async () => {
        const alone = await ask(loaded, longRequest());
        const abort = new AbortController();
        let after = 0;
        const aborted = ask(loaded, longRequest(), {
          signal: abort.signal,
          onEvent: (_, index) => {
            if (abort.signal.aborted) after += 1;
            if (index !== 5) return;
            // Long enough for an engine in another process to have sent more, which must not be told any more.
            const until = performance.now() + 20;
            while (performance.now() < until);
            abort.abort();
          },
        });
        const [stopped, other] = await Promise.all([aborted, ask(loaded, longRequest())]);
        expect(stopped.result.finishReason).toBe("cancelled");
        expect(stopped.events).toHaveLength(6);
        expect(after).toBe(0);
        expect(stopped.result.usage.completionTokens).toBeLessThan(alone.result.usage.completionTokens);
        expect(other.events).toHaveLength(alone.events.length);
      });

      it("does not begin a request that was aborted before", async () => {
        const { events, result } = await ask(loaded, longRequest(), { signal: AbortSignal.abort() });
        expect(events).toHaveLength(0);
        expect(result.finishReason).toBe("cancelled");
      });

      it("has every slot free again afterwards", async () => {
        const abort = new AbortController();
        const aborted = Array.from({ length: SLOTS }, () =>
          ask(loaded, longRequest(), { signal: abort.signal }),
        );
        abort.abort();
        await Promise.all(aborted);
        const answers = await Promise.all(Array.from({ length: SLOTS }, () => ask(loaded, hello())));
        expect(answers.map(({ result }) => result.finishReason)).toStrictEqual(
          Array.from({ length: SLOTS }, () => "stop"),
        );
      });
    });

    describe("a reader who falls behind", () => {
      it("gets the same answer in the same order, while others go on", async () => {
        const { content } = await ask(loaded, longRequest());
        const gate = Promise.withResolvers<void>();
        let delivered = 0;
        const slow = ask(loaded, longRequest(), {
          onEvent: () => {
            delivered += 1;
            return gate.promise;
          },
        });
        await ask(loaded, longRequest());
        expect(delivered).toBe(1);
        gate.resolve();
        expect((await slow).content).toBe(content);
      });

      it("holds the generation of its own answer", async () => {
        const whole = await ask(loaded, longRequest());
        const abort = new AbortController();
        const slow = ask(loaded, longRequest(), {
          signal: abort.signal,
          onEvent: () => new Promise(() => undefined),
        });
        // Other answers are written from beginning to end meanwhile; this one would be finished as well.
        for (let others = 0; others < 3; others += 1) await ask(loaded, longRequest());
        abort.abort();
        const { result } = await slow;
        expect(result.finishReason).toBe("cancelled");
        expect(result.usage.completionTokens).toBeLessThan(whole.result.usage.completionTokens / 2);
      });

      it("ends its answer by throwing", async () => {
        const error = new Error("the reader is gone");
        const run = ask(loaded, longRequest(), {
          onEvent: () => {
            throw error;
          },
        });
        await expect(run).rejects.toBe(error);
      });
    });

    describe("refusing what the caller got wrong", () => {
      it("names a prompt that does not fit, before it evaluates it", async () => {
        const messages = [{ role: "user", content: textOfTokens(contextTokens + 10) }];
        expect(await failure(ask(loaded, { messages }))).toMatchObject({
          class: "client",
          code: "context_length_exceeded",
        });
      });

      it("ends an answer with length where the context is full", async () => {
        const { messages: _, ...form } = longRequest();
        const messages = [{ role: "user", content: textOfTokens(contextTokens - 100) }];
        const { result } = await ask(loaded, { ...form, messages });
        expect(result.finishReason).toBe("length");
        expect(result.usage.promptTokens + result.usage.completionTokens).toBeLessThanOrEqual(contextTokens);
      });

      it.each(WRONG)("says that %s is not valid (%#)", async (field, body) => {
        const error = await failure(ask(loaded, body));
        expect(error).toMatchObject({ class: "client", code: "invalid_request" });
        expect(error.message).toContain(field);
      });

      it.each(UNSUPPORTED)("says that %s is not supported", async (field, body) => {
        const error = await failure(ask(loaded, body));
        expect(error).toMatchObject({ class: "client", code: "unsupported" });
        expect(error.message).toContain(field);
      });

      it("serves the next request as if nothing had been", async () => {
        await failure(ask(loaded, { ...hello(), temperature: "hot" }));
        expect((await ask(loaded, hello())).result.finishReason).toBe("stop");
      });
    });

    describe("unloading", () => {
      it("fails the open requests and all later ones, and can be said twice", async () => {
        const one = await load();
        let died = false;
        void one.died.then(() => (died = true));
        const open = failure(ask(one, longRequest()));
        await Promise.all([one.unload(), one.unload()]);
        await one.unload();
        expect(await open).toMatchObject({ class: "fault", code: "unloaded" });
        expect(await failure(ask(one, hello()))).toMatchObject({ class: "fault", code: "unloaded" });
        expect(died).toBe(false);
      });
    });
  });
}
