import { describe, expect, it } from "vitest";

import type { LoadedModel } from "../../provider/src/engine.ts";
import { nearness } from "../support/nearness.ts";
import type { EngineContract } from "./engine-contract.ts";
import { ask, embed, failure, hello } from "./engine-questions.ts";
import { WRONG_INPUTS } from "./engine-refusals.ts";

/**
 * What the agent relies on where an engine makes vectors.
 * @param loaded the model that all of it is asked of.
 * @param load loads another one.
 */
export function describeVectors(
  loaded: () => LoadedModel,
  load: () => Promise<LoadedModel>,
  { contextTokens, textOfTokens }: EngineContract,
): void {
  describe("making vectors", () => {
    const king = "My lord, the king is dead.";
    const queen = "My lord, the queen is dead.";
    const hail = "Hello, who are you?";

    it("gives one of length 1 for each text, in their order, and counts what was read", async () => {
      const { vectors, result } = await embed(loaded(), { input: [king, hail, queen] });
      expect(vectors).toHaveLength(3);
      expect(new Set(vectors.map(({ length }) => length)).size).toBe(1);
      for (const vector of vectors) expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
      const alone = await Promise.all([king, hail, queen].map((input) => embed(loaded(), { input })));
      expect(vectors).toStrictEqual(alone.flatMap((one) => one.vectors));
      const read = alone.map((one) => one.result.usage.promptTokens);
      expect(result).toMatchObject({
        finishReason: "stop",
        usage: {
          promptTokens: read.reduce((sum, tokens) => sum + tokens),
          completionTokens: 0,
          cachedTokens: 0,
        },
        decodeMs: 0,
      });
      expect(Math.min(...read)).toBeGreaterThanOrEqual(4);
      expect(result.prefillMs).toBeGreaterThanOrEqual(0);
    });

    it("gives texts that say nearly the same vectors that are nearer", async () => {
      const [one, similar, other] = (await embed(loaded(), { input: [king, queen, hail] })).vectors;
      expect(nearness(one, similar)).toBeGreaterThan(nearness(one, other) + 0.1);
    });

    it("can be prepared for it, again and again, but not once it is unloaded", async () => {
      const one = await load();
      await Promise.all([one.prepareEmbeddings(), one.prepareEmbeddings()]);
      await one.prepareEmbeddings();
      expect((await embed(one, { input: king })).vectors).toHaveLength(1);
      await one.unload();
      expect(await failure(one.prepareEmbeddings())).toMatchObject({ class: "fault", code: "unloaded" });
    });

    it("takes the size that vectors have anyway, and no other", async () => {
      const { vectors } = await embed(loaded(), { input: king });
      const dimensions = vectors[0]?.length ?? 0;
      expect((await embed(loaded(), { input: king, dimensions })).vectors).toStrictEqual(vectors);
      const error = await failure(embed(loaded(), { input: king, dimensions: dimensions - 1 }));
      expect(error).toMatchObject({ class: "client", code: "unsupported" });
      expect(error.message).toMatch(new RegExp(`^dimensions: .* ${dimensions} `));
    });

    it("takes a text as long as the context, and refuses a list for one that is longer", async () => {
      const long = textOfTokens(contextTokens - 2);
      expect((await embed(loaded(), { input: long })).result.usage.promptTokens).toBeGreaterThan(
        contextTokens - 4,
      );
      let vectors = 0;
      const list = { input: [hail, textOfTokens(contextTokens + 10)] };
      const error = await failure(embed(loaded(), list, { onVector: () => void (vectors += 1) }));
      expect(error).toMatchObject({ class: "client", code: "context_length_exceeded" });
      expect(error.message).toMatch(
        new RegExp(`^input\\[1\\]: .*maximum context length is ${contextTokens} tokens`),
      );
      expect(vectors).toBe(0);
    });

    it.each(WRONG_INPUTS)("says that %s is not valid (%#)", async (field, body) => {
      const error = await failure(embed(loaded(), body));
      expect(error).toMatchObject({ class: "client", code: "invalid_request" });
      expect(error.message.startsWith(`${field}: `)).toBe(true);
    });

    it("stops within a text of the abort, and serves the next request", async () => {
      const abort = new AbortController();
      const input = Array.from({ length: 500 }, () => king);
      const stopped = await embed(
        loaded(),
        { input },
        {
          signal: abort.signal,
          onVector: (index) => {
            if (index === 3) abort.abort();
          },
        },
      );
      expect(stopped.result.finishReason).toBe("cancelled");
      expect(stopped.vectors).toHaveLength(4);
      expect((await embed(loaded(), { input: king })).vectors).toHaveLength(1);
    });

    it("waits for a reader who falls behind", async () => {
      const gate = Promise.withResolvers<void>();
      const first = Promise.withResolvers<void>();
      let delivered = 0;
      const slow = embed(
        loaded(),
        { input: [king, hail, queen] },
        {
          onVector: () => {
            delivered += 1;
            first.resolve();
            return gate.promise;
          },
        },
      );
      await first.promise;
      await embed(loaded(), { input: Array.from({ length: 5 }, () => king) });
      expect(delivered).toBe(1);
      gate.resolve();
      expect((await slow).vectors).toHaveLength(3);
    });

    it("lets a short request by while a long one goes on, and chats beside both", async () => {
      const ended: string[] = [];
      const note = (what: string) => () => void ended.push(what);
      const abort = new AbortController();
      const input = Array.from({ length: 2000 }, () => king);
      const list = embed(loaded(), { input }, { signal: abort.signal }).then(note("list"));
      const one = embed(loaded(), { input: hail }).then(note("one"));
      const chat = ask(loaded(), hello()).then(note("chat"));
      await Promise.all([one, chat]);
      abort.abort();
      await list;
      expect(ended.at(-1)).toBe("list");
    });
  });
}
