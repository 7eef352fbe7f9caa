import { describe, expect, it } from "vitest";

import { Outbox } from "../../provider/src/agent/outbox.ts";
import { FakeSocket } from "../support/agent-harness.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const KIB = 1024;

function setUp(): { clock: VirtualClock; socket: FakeSocket; outbox: Outbox } {
  const clock = new VirtualClock();
  const socket = new FakeSocket("alpha", { onOpen: () => {}, onText: () => {}, onEnd: () => {} });
  const outbox = new Outbox(clock, socket);
  outbox.setFlushInterval(40);
  return { clock, socket, outbox };
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("flushing", () => {
  it("sends the first bytes of a stream at once", () => {
    const { socket, outbox } = setUp();
    outbox.open(1);
    void outbox.write(1, bytes("a"));
    expect(socket.streamText(1)).toBe("a");
  });

  it("sends one frame per interval, each stream's bytes in one record", async () => {
    const { clock, socket, outbox } = setUp();
    for (const stream of [1, 2]) {
      outbox.open(stream);
      void outbox.write(stream, bytes("."));
    }
    expect(socket.frames).toHaveLength(2);
    for (const text of ["a", "b", "c"]) {
      void outbox.write(1, bytes(text));
      void outbox.write(2, bytes(text.toUpperCase()));
      await clock.advance(10);
    }
    expect(socket.frames).toHaveLength(2);
    await clock.advance(10);
    expect(socket.frames).toHaveLength(3);
    expect(socket.records()).toHaveLength(4);
    expect(socket.streamText(1)).toBe(".abc");
    expect(socket.streamText(2)).toBe(".ABC");
  });

  it("stays below one frame per interval however many tokens come", async () => {
    const { clock, socket, outbox } = setUp();
    const streams = [1, 2, 3, 4];
    for (const stream of streams) outbox.open(stream);
    for (let token = 0; token < 500; token++) {
      for (const stream of streams) void outbox.write(stream, bytes("t"));
      await clock.advance(2);
    }
    // 1 s is 25 intervals; each stream's first bytes may have cost one frame more.
    expect(socket.frames.length).toBeLessThanOrEqual(25 + streams.length);
    await clock.advance(40);
    for (const stream of streams) expect(socket.streamText(stream)).toHaveLength(500);
  });

  it("goes on when the clock is set back", async () => {
    const { clock, socket, outbox } = setUp();
    outbox.open(1);
    void outbox.write(1, bytes("a"));
    clock.set(-3_600_000);
    void outbox.write(1, bytes("b"));
    await clock.advance(40);
    expect(socket.streamText(1)).toBe("ab");
  });

  it("leaves no timer behind when nothing is pending", async () => {
    const { clock, outbox } = setUp();
    outbox.open(1);
    void outbox.write(1, bytes("a"));
    void outbox.write(1, bytes("b"));
    await clock.advance(40);
    expect(clock.pending()).toBe(0);
  });

  it("ignores bytes of a stream that is not open", () => {
    const { socket, outbox } = setUp();
    void outbox.write(9, bytes("a"));
    expect(socket.frames).toHaveLength(0);
  });

  it("holds back while the socket does not take more, and goes on when it does", async () => {
    const { clock, socket, outbox } = setUp();
    outbox.open(1);
    socket.buffered = 5 * KIB * KIB;
    void outbox.write(1, bytes("a"));
    await clock.advance(200);
    expect(socket.frames).toHaveLength(0);
    socket.buffered = 0;
    await clock.advance(40);
    expect(socket.streamText(1)).toBe("a");
  });
});

describe("ending a stream", () => {
  it("flushes what is pending before it says that the stream has ended", () => {
    const { socket, outbox } = setUp();
    outbox.open(1);
    void outbox.write(1, bytes("a"));
    void outbox.write(1, bytes("b"));
    outbox.end(1, () => socket.order.push("ended"));
    expect(socket.order).toEqual(["bytes", "bytes", "ended"]);
    expect(socket.streamText(1)).toBe("ab");
    expect(outbox.has(1)).toBe(false);
  });

  it("sends a long answer in several frames, whole and in order, before it ends", async () => {
    const { clock, socket, outbox } = setUp();
    const text = Array.from({ length: 300 * KIB }, (_, i) => String(i % 10)).join("");
    let hasEnded = false;
    outbox.open(1);
    void outbox.write(1, bytes(text));
    outbox.end(1, () => {
      hasEnded = true;
    });
    expect(hasEnded).toBe(false);
    await clock.advance(200);
    expect(hasEnded).toBe(true);
    expect(socket.frames.length).toBeGreaterThan(1);
    expect(socket.streamText(1)).toBe(text);
  });
});

describe("pause and resume", () => {
  it("sends nothing of a paused stream and everything of the others", async () => {
    const { clock, socket, outbox } = setUp();
    for (const stream of [1, 2]) {
      outbox.open(stream);
      void outbox.write(stream, bytes("."));
    }
    outbox.pause(1);
    void outbox.write(1, bytes("a"));
    void outbox.write(2, bytes("b"));
    await clock.advance(100);
    expect([socket.streamText(1), socket.streamText(2)]).toEqual([".", ".b"]);
    outbox.resume(1);
    await clock.advance(40);
    expect(socket.streamText(1)).toBe(".a");
  });

  it("lets the writer go on up to 1 MiB, then makes it wait until the reader has caught up", async () => {
    const { clock, outbox } = setUp();
    outbox.open(1);
    outbox.pause(1);
    const block = new Uint8Array(256 * KIB);
    for (let i = 0; i < 4; i++) expect(outbox.write(1, block)).toBeUndefined();
    let mayGoOn = false;
    const write = async (): Promise<void> => {
      await outbox.write(1, block);
      mayGoOn = true;
    };
    void write();
    await clock.advance(10_000);
    expect(mayGoOn).toBe(false);
    outbox.resume(1);
    await clock.advance(100);
    expect(mayGoOn).toBe(true);
  });

  it("does not throw a full buffer at a reader that has just caught up", async () => {
    const { clock, socket, outbox } = setUp();
    outbox.open(1);
    outbox.pause(1);
    void outbox.write(1, new Uint8Array(1024 * KIB));
    outbox.resume(1);
    await clock.advance(1);
    const first = socket.frames.reduce((sum, frame) => sum + frame.byteLength, 0);
    expect(first).toBeLessThan(160 * KIB);
    outbox.pause(1);
    await clock.advance(1000);
    expect(socket.frames).toHaveLength(1);
  });

  it("keeps the end of a paused stream until its bytes could go", async () => {
    const { clock, socket, outbox } = setUp();
    let hasEnded = false;
    outbox.open(1);
    outbox.pause(1);
    void outbox.write(1, bytes("a"));
    outbox.end(1, () => {
      hasEnded = true;
    });
    await clock.advance(1000);
    expect(hasEnded).toBe(false);
    outbox.resume(1);
    await clock.advance(40);
    expect([hasEnded, socket.streamText(1)]).toEqual([true, "a"]);
  });

  it("frees waiting writers when the socket is gone", async () => {
    const { clock, outbox } = setUp();
    outbox.open(1);
    outbox.pause(1);
    const wait = outbox.write(1, new Uint8Array(2 * KIB * KIB));
    outbox.close();
    await expect(wait).resolves.toBeUndefined();
    expect(clock.pending()).toBe(0);
  });
});
