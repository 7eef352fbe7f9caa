import { expect, it } from "vitest";

import { EMPTY_LEDGER, Ledger } from "../../../../core/pool/ledger.ts";
import { machineIdSchema } from "../../../../protocol/ids.ts";

const MINUTE_MS = 60_000;
const macs = ["mac-1", "mac-2"].map((id) => machineIdSchema.parse(id));

/** Each machine answers once more. */
function serve(ledger: Ledger, now: number): void {
  for (const mac of macs) {
    ledger.usage.count("key", "ok", { promptTokens: 1, completionTokens: 1, cachedTokens: 0 }, now);
    const usage = { prompt_tokens: 100, completion_tokens: 100 };
    ledger.speeds.learn(mac, { usage, timings: { queue_ms: 0, prefill_ms: 100, decode_ms: 1000 } }, 1);
  }
}

it("a busy pool writes what it has counted each time, and how fast its machines are every five minutes", () => {
  const ledger = new Ledger(EMPTY_LEDGER);
  const written = { usage: 0, speeds: 0 };
  for (let now = 0; now < 10 * MINUTE_MS; now += MINUTE_MS / 6) {
    serve(ledger, now);
    const { usage, speeds } = ledger.drain(now, false);
    written.usage += usage.length;
    written.speeds += speeds.length;
  }
  expect(written).toEqual({ usage: 60, speeds: 2 * macs.length });
});

it("a pool that may fall asleep writes all it knows, and says until then that it has not", () => {
  const ledger = new Ledger(EMPTY_LEDGER);
  serve(ledger, 0);
  ledger.drain(0, true);
  expect(ledger.isWritten).toBe(true);
  serve(ledger, 1000);
  expect(ledger.drain(1000, false).speeds).toEqual([]);
  expect(ledger.isWritten).toBe(false);
  expect(ledger.drain(2000, true).speeds.map(({ machineId }) => machineId)).toEqual(macs);
  expect(ledger.isWritten).toBe(true);
});
