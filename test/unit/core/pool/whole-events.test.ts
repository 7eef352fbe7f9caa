import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { WholeEvents } from "../../../../core/pool/whole-events.ts";
import { PoolScene, type Client, type Machine, type Sent } from "./pool-scene.ts";

const EVENT = 'data: {"choices":[{"delta":{"content":"a]"}}]}\n\n';
const DONE = "data: [DONE]\n\n";
const MIB = 1024 * 1024;

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function textOf(bytes: Uint8Array | null): string {
  return bytes === null ? "" : new TextDecoder().decode(bytes);
}

/** What goes out for each of the pieces. */
function taken(events: WholeEvents, ...pieces: readonly string[]): string[] {
  return pieces.map((piece) => textOf(events.take(bytesOf(piece))));
}

describe("the events of a stream", () => {
  it("go out as they came, without a copy, if their bytes end with one", () => {
    const events = new WholeEvents();
    const bytes = bytesOf(EVENT + EVENT);
    expect(events.take(bytes)).toBe(bytes);
    expect(events.keptBytes).toBe(0);
  });

  it("go out whole, wherever their bytes are cut", () => {
    const event = fc.constantFrom(EVENT, ": sign of life\n\n", "event: a\ndata: 1\n\n", "data: é\r\n\r\n");
    const cuts = fc.array(fc.nat(400), { maxLength: 30 });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 8 }), cuts, fc.array(event), (list, at, behind) => {
        const events = new WholeEvents();
        const all = bytesOf(list.join("") + DONE + behind.join(""));
        const ends = [0, ...at.filter((n) => n < all.length).sort((a, b) => a - b), all.length];
        let text = "";
        for (let i = 1; i < ends.length; i++) {
          text += textOf(events.take(all.slice(ends[i - 1], ends[i])));
          expect(text).toMatch(/^$|\n\r?\n$/);
          expect(text).not.toContain(DONE);
        }
        expect(events.isDone).toBe(true);
        expect(text + textOf(events.kept)).toBe(list.join("") + DONE);
      }),
    );
  });

  it.each([
    ["a line end in the next piece", ["data: 1\n", "\ndata: 2"], ["", "data: 1\n\n"]],
    ["a blank line of Windows in three pieces", ["data: 1\r\n", "\r", "\n"], ["", "", "data: 1\r\n\r\n"]],
    [
      "the rest of an event and half of the next",
      ["da", "ta: 1\n\nda", "ta: 2\n\n"],
      ["", "data: 1\n\n", "data: 2\n\n"],
    ],
  ])("with %s", (_, pieces, out) => {
    expect(taken(new WholeEvents(), ...pieces)).toEqual(out);
  });

  it("in many pieces are kept once", () => {
    const events = new WholeEvents();
    expect(taken(events, "data: ", ...Array.from({ length: 1000 }, () => "x")).join("")).toBe("");
    expect(events.keptBytes).toBe(1006);
    expect(taken(events, "\n", "\n")).toEqual(["", `data: ${"x".repeat(1000)}\n\n`]);
    expect(events.keptBytes).toBe(0);
  });
});

describe("the end of a stream", () => {
  it.each([
    ["alone", [DONE], DONE],
    ["behind events", [EVENT + DONE], EVENT + DONE],
    ["cut in the middle", [EVENT, "data: [DO", "NE]\n", "\n"], DONE],
    ["in the words of Windows", ["data: [DONE]\r\n\r\n"], "data: [DONE]\r\n\r\n"],
    ["with more behind it", [DONE, EVENT, "data: "], DONE],
    ["with half an event behind it", [`${DONE}data: {`], DONE],
    ["with more behind it in the same piece", [EVENT + DONE + EVENT], EVENT + DONE],
    ["cut in the middle, with more behind it", [`${EVENT}data: [`, `DONE]\n\n${EVENT}`], DONE],
    [
      "cut in its blank line, with more behind it",
      ["data: [DONE]\r\n\r", `\n${EVENT}da`],
      "data: [DONE]\r\n\r\n",
    ],
  ])("is kept: %s", (_, pieces, kept) => {
    const events = new WholeEvents();
    taken(events, ...pieces);
    expect(events.isDone).toBe(true);
    expect(textOf(events.kept)).toBe(kept);
  });

  it.each(['data: {"text":"data: [DONE]"}\n\n', "data: x[DONE]\n\n", ": data: [DONE]\n\n", "[DONE]\n\n"])(
    "is not what only looks like it: %j",
    (text) => {
      const events = new WholeEvents();
      expect(taken(events, text)).toEqual([text]);
      expect(events.isDone).toBe(false);
    },
  );
});

describe("a machine that stops in the middle of an event", () => {
  it("[D12] leaves its client with whole events and the error", () => {
    const { scene, client, sent, mac } = streaming();
    scene.rawBytes(sent, `${EVENT}data: {"choi`);
    scene.lose(mac);
    expect(client.text).toBe(EVENT.slice("data: ".length, -2));
    expect(client.brokenWith).toBe("provider_error");
  });

  it("is followed by another, if no event had ended", () => {
    const { scene, client, sent } = streaming();
    const other = scene.join("mac-2");
    scene.rawBytes(sent, 'data: {"choi');
    scene.error(sent, "fault", "broken");
    scene.serve(scene.requestOf(other), "again");
    expect(client.text).toBe("again");
    expect(client.ended).toBe("finished");
  });

  it("may be bridged by comments, which do not end up inside of it", () => {
    const { scene, client, sent, mac } = streaming();
    scene.rawBytes(sent, `${EVENT}data: {"choi`);
    scene.advance(3000, mac);
    expect(client.comments).toBe(1);
    scene.rawBytes(sent, 'ces":[]}\n\n');
    scene.finish(sent);
    expect(client.content).toMatch(/a\]"\}\}\]\}\{"choices":\[\]\}$/);
  });

  it("and never ends it is told to stop at 1 MiB", () => {
    const { scene, client, sent, mac } = streaming();
    scene.bytes(sent, "one");
    for (let i = 0; i < 16; i++) scene.rawBytes(sent, "x".repeat(MIB / 16));
    expect(client.ended).toBeNull();
    scene.rawBytes(sent, "x");
    expect(client.brokenWith).toBe("provider_error");
    expect(mac.socket.take("cancel")).toHaveLength(1);
  });
});

describe("a machine that sends more than 1 MiB at once", () => {
  it.each([
    ["events", [EVENT.repeat(MIB / EVENT.length + 1)]],
    ["an event", [`data: ${"x".repeat(MIB)}\n\n`]],
    ["an event, with its end", ["x".repeat(MIB), "\n\n"]],
  ])("of %s is at fault, and not the client, who gets none of it", (_, pieces) => {
    const { scene, client, sent, mac } = streaming();
    const other = scene.join("mac-2");
    for (const piece of pieces) scene.rawBytes(sent, piece);
    expect(mac.socket.take("cancel")).toHaveLength(1);
    scene.serve(scene.requestOf(other), "from another");
    expect(client.text).toBe("from another");
    expect(scene.outcomes()).toEqual({ ok: 1 });
  });

  it("in the middle of an answer ends it", () => {
    const { scene, client, sent } = streaming();
    scene.bytes(sent, "one");
    scene.rawBytes(sent, EVENT.repeat(MIB / EVENT.length + 1));
    expect(client.text).toBe("one");
    expect(client.brokenWith).toBe("provider_error");
  });
});

describe("a machine that completes a stream", () => {
  it("without [DONE] has it ended as it is", () => {
    const { scene, client, sent } = streaming();
    scene.bytes(sent, "whole");
    scene.complete(sent);
    expect(client.text).toBe("whole");
    expect(client.ended).toBe("finished");
    expect(scene.outcomes()).toEqual({ ok: 1 });
  });

  it("[D12] in the middle of an event is at fault, and the client is told", () => {
    const { scene, client, sent } = streaming();
    scene.bytes(sent, "half");
    scene.rawBytes(sent, 'data: {"choi');
    scene.complete(sent);
    expect(client.text).toBe("half");
    expect(client.brokenWith).toBe("provider_error");
    expect(scene.outcomes()).toEqual({ provider_error: 1 });
  });

  it("has it passed on also if more than 1 MiB of events came with its end", () => {
    const { scene, client, sent } = streaming();
    scene.rawBytes(sent, EVENT.repeat(MIB / EVENT.length + 1) + DONE);
    scene.complete(sent);
    expect(client.ended).toBe("finished");
  });

  it("without an event is followed by another machine", () => {
    const { scene, client, sent } = streaming();
    const other = scene.join("mac-2");
    scene.rawBytes(sent, 'data: {"choi');
    scene.complete(sent);
    scene.serve(scene.requestOf(other), "again");
    expect(client.text).toBe("again");
  });

  it("[D12] only then has its end passed on", () => {
    const { scene, client, sent, mac } = streaming();
    scene.rawBytes(sent, `${EVENT}${DONE}`);
    expect(client.text).toBe("");
    scene.lose(mac);
    const again = scene.join("mac-1");
    const second = scene.requestOf(again);
    scene.accept(second);
    scene.rawBytes(second, `data: whole\n\n${DONE}`);
    scene.complete(second);
    expect(client.text).toBe("whole");
    expect(client.ended).toBe("finished");
  });
});

function streaming(): { scene: PoolScene; mac: Machine; client: Client; sent: Sent } {
  const scene = new PoolScene();
  const mac = scene.join("mac-1");
  const client = scene.ask();
  const sent = scene.requestOf(mac);
  scene.accept(sent);
  return { scene, mac, client, sent };
}
