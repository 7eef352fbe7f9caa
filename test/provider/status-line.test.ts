import { describe, expect, it } from "vitest";

import type { AgentStatus } from "../../provider/src/agent/status.ts";
import { createLog } from "../../provider/src/log.ts";
import { describeStatus, StatusLine } from "../../provider/src/status-line.ts";
import { TerminalLine } from "../../provider/src/terminal-line.ts";

const serving: AgentStatus = {
  state: "serving",
  model: "alpha",
  progress: 1,
  running: 2,
  slots: 4,
  tokens: 0,
  pools: 1,
  nextDialAt: null,
  reservedBecause: null,
  assignment: null,
};

const held = { model: "alpha", epoch: 8, reason: "pinned" };

describe("the status line", () => {
  it.each([
    [{}, "serving alpha | 2/4 running | 113 tokens/s | connected"],
    [{ pools: 3 }, "serving alpha | 2/4 running | 113 tokens/s | connected to 3 pools"],
    [{ state: "loading", progress: 0.42 }, "loading alpha 42 % | connected"],
    [{ state: "idle", model: null, running: 0 }, "no model loaded | 0/4 running | 113 tokens/s | connected"],
    [{ pools: 0 }, "serving alpha | 2/4 running | 113 tokens/s | connecting"],
    [
      { pools: 0, nextDialAt: 5100 },
      "serving alpha | 2/4 running | 113 tokens/s | not connected, next try in 5 s",
    ],
    [
      { assignment: { ...held, phase: "serving" } },
      "serving alpha | assigned | 2/4 running | 113 tokens/s | connected",
    ],
    [
      { state: "draining", assignment: { ...held, model: "beta", phase: "draining" } },
      "draining alpha for beta | assigned | 2/4 running | 113 tokens/s | connected",
    ],
    [
      { state: "loading", progress: 0.1, assignment: { ...held, phase: "loading" } },
      "loading alpha 10 % | assigned | connected",
    ],
    [
      { model: "beta", assignment: { ...held, phase: "visiting" } },
      "serving beta | for its owner, then alpha again | 2/4 running | 113 tokens/s | connected",
    ],
    [
      { state: "failed", running: 0, assignment: { ...held, phase: "failed" } },
      "cannot hold alpha | assigned | 0/4 running | 113 tokens/s | connected",
    ],
    [
      { reservedBecause: "on battery" },
      "serving alpha | for its owner only: on battery | 2/4 running | 113 tokens/s | connected",
    ],
    [{ state: "stopping" }, "stopping | 2/4 running | 113 tokens/s | connected"],
    [{ state: "stopping", running: 0, pools: 0 }, "stopping | 0/4 running | 113 tokens/s | disconnected"],
  ] as const)("for %j reads: %s", (fields, expected) => {
    expect(describeStatus({ ...serving, ...fields }, 113.2, 1000)).toBe(expected);
  });

  it("averages tokens over the last seconds, stays below a log line and within the terminal", () => {
    let written = "";
    let now = 0;
    let tokens = 0;
    const line = new TerminalLine({ write: (text) => void (written += text), columns: () => 40 });
    const status = new StatusLine(
      line,
      () => ({ ...serving, tokens }),
      () => "",
      () => now,
    );
    status.start();
    for (let i = 0; i < 20; i++) {
      now += 500;
      tokens += 25;
      status.redraw();
    }
    line.print("a log line");
    expect(written.endsWith("\r\u001b[2Ka log line\nserving alpha | 2/4 running | 50 tokens")).toBe(true);
    status.stop();
    line.print("the last line");
    expect(written.endsWith("\r\u001b[2Kthe last line\n")).toBe(true);
  });
});

describe("the status line of a machine that downloads", () => {
  it("says so at its end, and fits into a terminal of 80 columns", () => {
    let written = "";
    const line = new TerminalLine({ write: (text) => void (written += text), columns: () => 80 });
    const state = { ...serving, model: "gpt-oss-20b" };
    let more = "downloading 42 %";
    const status = new StatusLine(
      line,
      () => state,
      () => more,
      () => 0,
    );
    status.redraw();
    expect(written).toMatch(/^serving gpt-oss-20b \| .* \| connected \| downloading 42 %$/);
    more = "";
    status.redraw();
    expect(written).toMatch(/connected$/);
  });
});

describe("a log line", () => {
  const now = (): number => Date.UTC(2026, 10, 24, 1, 2, 3);

  it("is text for people", () => {
    const lines: string[] = [];
    const log = createLog({ json: false, write: (line) => lines.push(line), now });
    log.info("connected", { pool: "alpha", pools: "alpha beta", code: null });
    log.warn("careful");
    expect(lines).toEqual([
      '2026-11-24T01:02:03Z info  connected pool=alpha pools="alpha beta"',
      "2026-11-24T01:02:03Z warn  careful",
    ]);
  });

  it("gives a terminal no commands, whoever is quoted", () => {
    const lines: string[] = [];
    const log = createLog({ json: false, write: (line) => lines.push(line), now });
    log.error("It said: \u001b[2Jgone", { detail: "a\u001b]0;b\u0007", reason: "c\u009bd\u007f" });
    expect(lines).toEqual([
      '2026-11-24T01:02:03Z error It said:  [2Jgone detail="a\\u001b]0;b\\u0007" reason="c d "',
    ]);
  });

  it("is JSON for programs", () => {
    const lines: string[] = [];
    createLog({ json: true, write: (line) => lines.push(line), now }).error("load failed", {
      model: "alpha",
    });
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { at: "2026-11-24T01:02:03.000Z", level: "error", message: "load failed", model: "alpha" },
    ]);
  });
});
