import type { AnswerEvent, EmitAnswerEvent } from "../engine.ts";

/**
 * Hands events to a reader who may fall behind, in order and one at a time. What arrives meanwhile waits here; when
 * more waits than a reader's short pauses explain, the source is asked to hold, and to go on once all is delivered.
 */
export interface EventPipe {
  push(event: AnswerEvent): void;
  /** From now on nothing is delivered, what waits is dropped. */
  close(): void;
  /** Resolves when all is delivered or dropped; rejects with what the reader threw. */
  settled(): Promise<void>;
}

/** Every reader that answers with a promise is behind for a moment; asking the source each time would cost a message. */
const HOLD_ABOVE_EVENTS = 8;

export function createEventPipe(
  emit: EmitAnswerEvent,
  source: { hold(): void; goOn(): void; fail(error: unknown): void },
): EventPipe {
  let waiting: AnswerEvent[] = [];
  let closed = false;
  let held = false;
  let delivery: Promise<void> | null = null;

  async function deliver(first: Promise<void>): Promise<void> {
    await first;
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      for (const event of batch) if (!closed) await emit(event);
      if (held && waiting.length === 0) {
        held = false;
        source.goOn();
      }
    }
    delivery = null;
  }

  function fail(error: unknown): void {
    closed = true;
    waiting = [];
    source.fail(error);
  }

  return {
    push(event) {
      if (closed) return;
      if (delivery === null) {
        try {
          const behind = emit(event);
          if (behind instanceof Promise) {
            delivery = deliver(behind);
            delivery.catch(fail);
          }
        } catch (error) {
          fail(error);
        }
        return;
      }
      waiting.push(event);
      if (!held && waiting.length > HOLD_ABOVE_EVENTS) {
        held = true;
        source.hold();
      }
    },
    close() {
      closed = true;
      waiting = [];
    },
    settled: () => delivery ?? Promise.resolve(),
  };
}
