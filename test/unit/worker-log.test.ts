import { inspect } from "node:util";

import { expect, it } from "vitest";

import { workerLogLine } from "../../scripts/worker-log.ts";

const lineOf = (message: string, level = "error"): string =>
  workerLogLine({ timestamp: Date.UTC(2026, 10, 30, 3, 24, 11, 500), level, message });

it("shows an event on one line, without the colours that workerd gives it", () => {
  const event = {
    event: "request_failed",
    requestId: "req_f3c3",
    model: "org/model-8b@v1",
    took_ms: 742,
    rate: -0.5,
    isOwn: true,
    machineId: null,
    why: 'it\'s gone, or "lost"',
  };
  const line = `2026-11-30T03:24:11Z error request_failed requestId=req_f3c3 model=org/model-8b@v1 took_ms=742 rate=-0.5 isOwn=true machineId=null why=\`it's gone, or "lost"\``;
  expect(lineOf(inspect(event, { colors: true }))).toBe(line);
  expect(lineOf(inspect(event, { breakLength: Infinity }))).toBe(line);
});

it.each(["a sentence", "Error: no\n    at main (index.js:1:1)", "{ event: 'a', list: [ 1, 2 ] }", "{}"])(
  "leaves %j as it is",
  (message) => expect(lineOf(message, "warn")).toBe(`2026-11-30T03:24:11Z warn  ${message}`),
);
