import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { runProgram, type RunProgram } from "../../provider/src/hardware.ts";
import { createReservationReader, pause, resume } from "../../provider/src/reservation.ts";
import { openIdentity } from "../../provider/src/state/identity.ts";
import { UserError } from "../../provider/src/user-error.ts";
import { AgentHarness } from "../support/agent-harness.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "reservation-"));
  openIdentity(directory, null);
});
afterEach(() => rmSync(directory, { recursive: true }));

const NO_RULES = { onBattery: false, whileUsedMinutes: null };
const RULES = { onBattery: true, whileUsedMinutes: 10 };

/** A Mac on battery or on mains, last touched so many seconds ago. */
function aMac(source: "Battery Power" | "AC Power" | "UPS Power", idleSeconds: number): RunProgram {
  return (file) =>
    Promise.resolve(
      file.endsWith("pmset")
        ? `Now drawing from '${source}'\n -InternalBattery-0 (id=4653155)\t80%; discharging; 3:05 remaining present: true\n`
        : `+-o IOHIDSystem  <class IOHIDSystem, id 0x1000003a6, registered, matched, active, busy 0 (3 ms), retain 29>
    {
      "IOClass" = "IOHIDSystem"
      "HIDParameters" = {"HIDClickTime"=500000000,"HIDMouseAcceleration"=45056}
      "HIDIdleTime" = ${idleSeconds * 1e9}
    }
`,
    );
}

let warnings: string[];
beforeEach(() => {
  warnings = [];
});
function reservedBecause(rules: typeof RULES | typeof NO_RULES, run: RunProgram) {
  return createReservationReader(directory, rules, { warn: (line) => warnings.push(line) }, run)();
}

const nothing: RunProgram = () => Promise.resolve(null);

describe("a machine is its owner's alone", () => {
  it("from pause to resume, whatever else", async () => {
    expect(await reservedBecause(NO_RULES, nothing)).toBeNull();
    pause(directory);
    pause(directory);
    expect(await reservedBecause(NO_RULES, nothing)).toBe("paused");
    expect(resume(directory)).toBe(true);
    expect(resume(directory)).toBe(false);
    expect(await reservedBecause(NO_RULES, nothing)).toBeNull();
  });

  it("on battery and in use, if those are its rules", async () => {
    expect(await reservedBecause(RULES, aMac("Battery Power", 9_999))).toBe("on battery");
    expect(await reservedBecause(RULES, aMac("UPS Power", 9_999))).toBe("on battery");
    expect(await reservedBecause(RULES, aMac("AC Power", 599))).toBe("in use");
    expect(await reservedBecause(RULES, aMac("AC Power", 600))).toBeNull();
    expect(await reservedBecause(NO_RULES, aMac("Battery Power", 0))).toBeNull();
    expect(
      await reservedBecause({ onBattery: false, whileUsedMinutes: 10 }, aMac("Battery Power", 601)),
    ).toBeNull();
  });

  it("is not by what cannot be found out, of which its owner is warned once", async () => {
    for (const run of [nothing, () => Promise.resolve("No batteries"), () => runProgram("/no/such", [])]) {
      warnings = [];
      const read = createReservationReader(directory, RULES, { warn: (line) => warnings.push(line) }, run);
      expect(await read()).toBeNull();
      expect(await read()).toBeNull();
      expect(warnings).toEqual([
        "--not-on-battery has no effect while this machine does not say whether it runs on battery; it serves everybody",
        "--not-while-used has no effect while this machine does not say when it was used last; it serves everybody",
      ]);
    }
  });

  it("is not warned of rules that can be read, or that it does not have", async () => {
    await reservedBecause(RULES, aMac("AC Power", 600));
    await reservedBecause(NO_RULES, nothing);
    expect(warnings).toEqual([]);
  });

  it("cannot be said of a directory that is not there, or that no machine has used", () => {
    const other = join(directory, "other");
    for (const act of [pause, resume]) {
      expect(() => act(other)).toThrow(UserError);
      expect(() => act(other)).toThrow(
        `No machine has been started with the state directory ${other}. Give the --state that`,
      );
    }
    expect(existsSync(other)).toBe(false);
    mkdirSync(other);
    expect(() => pause(other)).toThrow("No machine has been started");
    expect(readdirSync(other)).toEqual([]);
  });
});

describe("an agent whose owner keeps the machine", () => {
  it("says so at once, refuses what comes for others, serves its owner, and finishes what runs", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    await harness.clock.advance(1000);
    socket.request(1);
    const running = harness.engine.lastRun();
    harness.agent.reserve("in use");
    expect(socket.ofType("heartbeat").at(-1)).toMatchObject({ reserved: true, accepting: true });
    expect(harness.agent.status().reservedBecause).toBe("in use");
    socket.request(2);
    expect(socket.errors()).toEqual(["2 capacity/no_free_slot"]);
    socket.request(3, { owner_bypass: true });
    expect(socket.ofType("inference_accepted").map(({ stream }) => stream)).toEqual([1, 3]);
    running.finish();
    await harness.clock.advance(1000);
    expect(socket.ofType("inference_complete").map(({ stream }) => stream)).toEqual([1]);

    harness.agent.reserve(null);
    expect(socket.ofType("heartbeat").at(-1)).not.toHaveProperty("reserved");
    socket.request(4);
    expect(socket.ofType("inference_accepted").map(({ stream }) => stream)).toEqual([1, 3, 4]);
    expect(harness.logged.filter((line) => line.includes("serving "))).toEqual([
      expect.stringContaining('"model":"alpha"'),
      'serving the owner only {"because":"in use","running":1}',
      "serving everybody again {}",
    ]);
  });

  it("says nothing twice", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    await harness.clock.advance(1000);
    const before = socket.ofType("heartbeat").length;
    harness.agent.reserve(null);
    harness.agent.reserve("paused");
    harness.agent.reserve("paused");
    expect(socket.ofType("heartbeat")).toHaveLength(before + 1);
  });
});
