import { describe, expect, it } from "vitest";

import { PoolScene, type Client, type Machine, type Sent } from "./pool-scene.ts";

/** Texts to be made vectors: admitted like chats, but they have no first token, and no answer is written. */

const MODELS = { models: [{ id: "m", size_bytes: 1, prefill_tps: 100 }] };

/** About so many tokens. */
const bodyOf = (tokens: number): string => JSON.stringify({ x: "x".repeat(4 * tokens) });

class EmbeddingScene extends PoolScene {
  embed(tokens: number): Client {
    return this.ask({
      endpoint: "/v1/embeddings",
      stream: false,
      body: bodyOf(tokens),
      contextLength: 1_000_000,
    });
  }

  chat(tokens: number): Client {
    return this.ask({ body: bodyOf(tokens) });
  }

  /** One vector has come. */
  begin(sent: Sent): void {
    this.accept(sent);
    this.bytes(sent, "[");
  }

  end(sent: Sent, tokens: number, ms: number): void {
    this.bytes(sent, "]");
    this.complete(sent, { tokens, cached: 0, ms, written: 0 });
  }
}

function outcome({ ended, refusedWith }: Client): string | null {
  return ended === null ? "admitted" : refusedWith;
}

describe("a request for vectors", () => {
  it("is sent to a machine under its endpoint, and is answered whole", () => {
    const scene = new EmbeddingScene();
    const mac = scene.join("mac-1");
    const client = scene.embed(10);
    const sent = scene.requestOf(mac);
    expect(sent.request).toMatchObject({ endpoint: "/v1/embeddings" });
    scene.begin(sent);
    scene.end(sent, 9, 40);
    expect(client.text).toBe("[]");
    expect(scene.outcomes()).toEqual({ ok: 1 });
  });

  it("has part of its answer thrown away when its machine fails, and is tried on another", () => {
    const scene = new EmbeddingScene();
    const macs = [scene.join("mac-1"), scene.join("mac-2")];
    const client = scene.embed(10);
    const takeFrom = (): Sent => macs.flatMap((mac) => scene.requestsOf(mac))[0] ?? fail();
    const first = takeFrom();
    scene.begin(first);
    scene.error(first, "fault", "engine_crashed");
    const second = takeFrom();
    expect(second.machine).not.toBe(first.machine);
    scene.begin(second);
    scene.end(second, 9, 40);
    expect(client.text).toBe("[]");
  });

  it("[C6] is not refused for a first token that it does not have", () => {
    const scene = new EmbeddingScene();
    scene.join("mac-1", MODELS);
    expect(outcome(scene.embed(50_000))).toBe("admitted");
    expect(outcome(scene.chat(50_000))).toBe("ttft_too_slow");
  });

  it("[C6] keeps no chat waiting by its length, since both take turns", () => {
    const scene = new EmbeddingScene();
    scene.join("mac-1", MODELS);
    scene.embed(100_000);
    expect(outcome(scene.chat(100))).toBe("admitted");
  });

  it("tells nothing of a first token, but that its demand was met, and in time", () => {
    const scene = new EmbeddingScene();
    const mac = scene.join("mac-1");
    for (const ms of [1000, 60_000]) {
      scene.embed(10);
      const sent = scene.requestOf(mac);
      scene.begin(sent);
      scene.end(sent, 900, ms);
    }
    expect(scene.ended.map(({ firstTokenMs }) => firstTokenMs)).toEqual([null, null]);
    expect(scene.pool.ledger.demand.totals()).toEqual({
      arrivals: 2,
      good: 1,
      answered: 2,
      promptTokens: 1800,
      completionTokens: 0,
    });
  });

  it("teaches how fast its machine reads texts, and nothing of how soon a chat begins there or how fast it is", () => {
    const scene = new EmbeddingScene();
    const mac: Machine = scene.join("mac-1");
    scene.embed(10);
    const sent = scene.requestOf(mac);
    scene.begin(sent);
    scene.end(sent, 900, 3000);
    expect(mac.connection.prefillTps).toBeNull();
    expect(scene.pool.ledger.speeds.get(mac.connection.identity.machineId)).toEqual({
      prefillTps: 300,
      decodeTps: [],
    });
  });
});

function fail(): never {
  throw new Error("no machine was sent anything");
}
