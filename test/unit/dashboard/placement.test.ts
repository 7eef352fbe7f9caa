import { describe, expect, it } from "vitest";

import { detailLines } from "../../../dashboard/machine-details.js";
import { historyLines } from "../../../dashboard/placement-history.js";
import {
  demandLines,
  modeSentence,
  moveLines,
  noMovesSentence,
  planSentence,
  scoreLines,
  stayLines,
} from "../../../dashboard/placement.js";
import { aMachine, aMove, aPlanned, aSnapshot, aSwitch, NOW, type Changes } from "./snapshot-scene.ts";

const TRIAL = { days: 3, days_won: 0, since: NOW, has_fallen_back: false };

const placementOf = (placement: Changes["placement"]) => aSnapshot({ placement: placement ?? {} }).placement;

describe("the mode", () => {
  it.each([
    [{ placement: "off", acts_as: "off" }, "nothing is planned"],
    [{ placement: "shadow", acts_as: "shadow" }, "not carried out"],
    [{ placement: "enforce", acts_as: "enforce" }, "plans are carried out"],
    [{ placement: "enforce", acts_as: "shadow" }, "assignment_gate is off"],
    [
      { placement: "enforce", acts_as: "shadow", trial: { ...TRIAL, days_won: 1 } },
      "it has to win on 3 days in a row before it moves machines, and has on 1",
    ],
    [
      { placement: "enforce", acts_as: "shadow", trial: { ...TRIAL, days: 1, has_fallen_back: true } },
      "its moves have won less than nothing, so it has to win on a day",
    ],
    [{ placement: "enforce", acts_as: "enforce", trial: { ...TRIAL, days_won: null } }, "are carried out"],
  ] as const)("%o says: %s", (placement, words) => {
    expect(modeSentence(placementOf(placement))).toContain(words);
  });

  it("says how old the plan is, what it may do, and what halts it", () => {
    expect(planSentence(placementOf({}), NOW)).toBe(
      "Last tick 12 s ago, over 30 s of demand, with at most 4 moves.",
    );
    expect(planSentence(placementOf({ halted: "stale_reports" }), NOW)).toBe(
      "Last tick 12 s ago, over 30 s of demand. Nothing moves: a pool did not answer.",
    );
    expect(planSentence(placementOf({ budget: 0 }), NOW)).toContain(
      "with no move, since max_loads_per_tick or max_pending_loads allows none.",
    );
    expect(planSentence(placementOf({ at: null }), NOW)).toContain("no plan yet");
  });

  it("says which floors cannot be kept, also before the first plan", () => {
    const warnings = ['the floor of "a" is 3, and 1 machine can hold it', "another"];
    expect(planSentence(placementOf({ warnings }), NOW)).toBe(
      'Last tick 12 s ago, over 30 s of demand, with at most 4 moves. The floor of "a" is 3, and 1 machine can hold it. Another.',
    );
    expect(planSentence(placementOf({ at: null, warnings }), NOW)).toContain("still to come. The floor of");
    expect(planSentence(placementOf({ at: null, placement: "off" }), NOW)).toBe("");
  });

  it("says what to do to see a plan", () => {
    expect(noMovesSentence(placementOf({ placement: "off", acts_as: "off" }))).toContain("shadow");
    expect(noMovesSentence(placementOf({}))).toBe("It moves nothing.");
    expect(noMovesSentence(placementOf({ moves: [aMove()] }))).toBe("");
  });
});

describe("a plan", () => {
  it("gives each move its reason, its numbers and its order", () => {
    expect(moveLines(placementOf({ moves: [aMove(), aMove({ from: null, epoch: null })] }))).toMatchObject([
      {
        way: "a → b",
        why: "it serves more requests there",
        net: "+0.26",
        terms: "gains 0.31, loses 0.02, minimum gain 0.03",
        order: "sent, epoch 8",
      },
      { way: "no pool → b", order: "not sent" },
    ]);
    expect(moveLines(placementOf({ moves: [aMove({ from: "b", reason: "adopted" })] }))).toMatchObject([
      { way: "stays in b", net: "", terms: "" },
    ]);
  });

  it("says of many machines that nothing happens to them in one line, and moves the others before them", () => {
    const adopted = (count: number, epoch: number | null) =>
      Array.from({ length: count }, (_, index) =>
        aMove({ machine_id: `mac-${index + 2}`, from: "b", reason: "adopted", epoch }),
      );
    const linesOf = (count: number, epoch: number | null) =>
      moveLines(placementOf({ moves: [...adopted(count, epoch), aMove()] }));
    expect(linesOf(3, 8)).toHaveLength(4);
    expect(linesOf(4, 8)).toMatchObject([
      { machine: "mac-1", way: "a → b" },
      { machine: "4 machines", way: "stay where they are", net: "", order: "sent" },
    ]);
    expect(linesOf(4, null)[1]).toMatchObject({ order: "not sent" });
  });

  it("shows a reason that it does not know as it is, whatever its name", () => {
    for (const reason of ["brand_new", "constructor", "__proto__"]) {
      expect(moveLines(placementOf({ moves: [aMove({ reason })] }))[0]?.why).toBe(reason);
    }
  });

  it("blames no size for a machine that can serve nothing: its disk, its memory or its speed may be why", () => {
    const machines = [
      { machine_id: "mac-1", reason: "nothing_fits", best_target: null, best_gain_rps: null },
    ];
    expect(stayLines(placementOf({ machines }))).toMatchObject([
      { why: "it can serve no model of the catalog" },
    ]);
  });

  it("counts the machines that stay by reason, with the best move among them", () => {
    const stay = (machine_id: string, reason: string, best_gain_rps: number | null) => ({
      machine_id,
      reason,
      best_target: best_gain_rps === null ? null : "b",
      best_gain_rps,
    });
    const machines = [
      stay("mac-1", "pinned", null),
      stay("mac-2", "no_gain", -0.2),
      stay("mac-3", "no_gain", null),
      stay("mac-4", "no_gain", -0.1),
    ];
    expect(stayLines(placementOf({ machines }))).toEqual([
      {
        reason: "no_gain",
        why: "no move is worth more than it costs",
        machines: "3",
        best: "mac-4 → b: −0.10 requests/s",
      },
      { reason: "pinned", why: "an operator has pinned it", machines: "1", best: "–" },
    ]);
    const moves = [aMove({ machine_id: "mac-1", reason: "adopted" })];
    expect(stayLines(placementOf({ machines, moves }))).toMatchObject([{ reason: "no_gain", machines: "3" }]);
  });

  it("shows the demand it was made for, and nothing desired while nothing is planned", () => {
    expect(demandLines(placementOf({}))).toEqual([
      {
        model: "a",
        offered: "40",
        inTime: "39",
        demand: "1.3 ± 0.40",
        capacity: "1.6",
        needed: "2",
        desired: "2",
      },
    ]);
    expect(demandLines(placementOf({ placement: "off", acts_as: "off" }))).toMatchObject([{ desired: "–" }]);
  });
});

it("says that no machine fits a model that is asked for, and not that none is needed", () => {
  const neededOf = (fields: Parameters<typeof aPlanned>[0]) =>
    demandLines(placementOf({ models: [aPlanned(fields)] }))[0]?.needed;
  expect(neededOf({ demand_machines: 0, demand_rps: 50 })).toBe("none fits");
  expect(neededOf({ demand_machines: 0, demand_rps: 0 })).toBe("0");
});

describe("the moves of the past", () => {
  const plan = (at: number, ...moves: ReturnType<typeof aMove>[]) => ({
    at,
    mode: "enforce",
    halted: null,
    moves,
    stays: {},
  });

  it("are told once each, with what came of them, the newest first", () => {
    const lines = historyLines(
      aSnapshot({
        placement: {
          history: [
            plan(NOW - 10_000, aMove({ machine_id: "mac-2", epoch: null })),
            plan(NOW - 60_000, aMove(), aMove({ machine_id: "mac-3", epoch: 9 })),
          ],
        },
        fleet: {
          last_switches: [
            aSwitch(),
            aSwitch({ machine_id: "mac-4", epoch: 3, at: NOW - 30_000, reason: "pinned", outcome: "failed" }),
          ],
        },
      }),
      "UTC",
    );
    expect(lines.map(({ at, machine, outcome }) => [at, machine, outcome])).toEqual([
      ["12:29:50", "mac-2", "not sent (enforce)"],
      ["12:29:30", "mac-4", "failed after 41 s: no reason given"],
      ["12:29:00", "mac-1", "succeeded in 41 s"],
      ["12:29:00", "mac-3", "ordered"],
    ]);
    expect(lines[1]).toMatchObject({ why: "an operator has pinned it", terms: "", isFailed: true });
    expect(new Set(lines.map(({ key }) => key)).size).toBe(4);
  });

  it("tell in one line of many machines that nothing happened to, apart from those that failed", () => {
    const stay = (index: number, epoch: number | null) =>
      aMove({ machine_id: `mac-${index}`, from: "b", reason: "adopted", epoch });
    const stays = (epoch: number | null) => [1, 2, 3, 4, 5, 6].map((index) => stay(index, epoch));
    const history = [
      plan(NOW - 10_000, ...stays(9), aMove({ machine_id: "mac-7" })),
      { ...plan(NOW - 60_000, ...stays(null)), mode: "shadow" },
    ];
    const last_switches = [
      aSwitch({ machine_id: "mac-2", epoch: 9, outcome: "failed" }),
      aSwitch({ machine_id: "mac-3", epoch: 9 }),
    ];
    const lines = historyLines(aSnapshot({ placement: { history }, fleet: { last_switches } }), "UTC");
    expect(lines.map(({ machine, outcome }) => [machine, outcome])).toEqual([
      ["mac-2", "failed after 41 s: no reason given"],
      ["mac-7", "ordered"],
      ["5 machines", "ordered"],
      ["6 machines", "not sent (shadow)"],
    ]);
    expect(new Set(lines.map(({ key }) => key)).size).toBe(4);
  });

  it("keeps apart how a switch ended and that its machine failed later, under the same order", () => {
    const history = [plan(NOW - 60_000, aMove())];
    const failed = aSwitch({
      at: NOW - 5_000,
      from: "small",
      to: "small",
      outcome: "failed",
      took_ms: 14_000,
    });
    const lines = historyLines(
      aSnapshot({ placement: { history }, fleet: { last_switches: [failed, aSwitch()] } }),
      "UTC",
    );
    expect(lines.map(({ way, outcome }) => [way, outcome])).toEqual([
      ["in small", "failed after 14 s: no reason given"],
      [expect.any(String), "succeeded in 41 s"],
    ]);
  });
});

describe("what the planner is worth", () => {
  const row = {
    day_at: Date.UTC(2026, 10, 29),
    mode: "shadow",
    offered: 1_000,
    served_in_time: 812,
    room_as_placed: 830.4,
    room_otherwise: 951,
    room_at_most: 980,
    switches: 9,
    switches_per_machine_day: 2.25,
  };

  it("is what its moves win, or would", () => {
    expect(scoreLines(placementOf({ score: [row, { ...row, mode: "enforce" }] }))).toMatchObject([
      {
        day: "29 Nov",
        asked: "1,000",
        inTime: "81.2 %",
        moved: "95.1 %",
        unmoved: "83.0 %",
        gain: "+12",
        ofBest: "97.0 %",
        moves: "9",
        pace: "2.3",
      },
      { mode: "enforce", moved: "83.0 %", unmoved: "95.1 %", gain: "−12" },
    ]);
  });

  it("says nothing of the best of days that were counted without it", () => {
    const score = [{ ...row, room_at_most: null }];
    expect(scoreLines(placementOf({ score }))).toMatchObject([{ ofBest: "–" }]);
  });

  it("says no moves per day from minutes", () => {
    const score = [{ ...row, switches_per_machine_day: null }];
    expect(scoreLines(placementOf({ score }))).toMatchObject([{ moves: "9", pace: "–" }]);
  });

  it("is nothing to be said by a coordinator of an earlier version", () => {
    expect(scoreLines({})).toEqual([]);
  });

  it("is nothing to be said while nothing is asked for", () => {
    expect(scoreLines(placementOf({ score: [{ ...row, offered: 0 }] }))).toMatchObject([
      { inTime: "–", moved: "–", gain: "–" },
    ]);
  });
});

describe("the details of a machine", () => {
  const details = {
    ...aMachine({ state_age_ms: 8_120 }),
    stays_because: "dwell",
    version: "0.7.0",
    models: ["a", "b"],
    quarantined: false,
    private_only: false,
    unreachable_pools: [] as string[],
    order: null,
  };
  const valueOf = (machine: typeof details, name: string) =>
    detailLines(machine).find((line) => line.name === name)?.value;

  it("say what it does, what it is, and why the last plan left it alone", () => {
    expect(valueOf(details, "State")).toBe("assigned for 8 s");
    expect(valueOf({ ...details, state: "offline" }, "State")).toBe("offline for 8 s");
    expect(valueOf(details, "Chip")).toBe("Apple M3 Ultra, 96 GB");
    expect(valueOf(details, "The last plan")).toBe("leaves it, because it was assigned a short while ago");
    expect(valueOf(details, "Newest order")).toBe("none yet");
    expect(valueOf(details, "What would help")).toBeUndefined();
    expect(valueOf(details, "Missing")).toBeUndefined();
    expect(valueOf({ ...details, unreachable_pools: ["a", "b"] }, "Missing")).toBe("no answer from a, b");
    expect(valueOf(details, "Most useful")).toBeUndefined();
  });

  it("say which models would be worth most there", () => {
    const model = { on_disk: true, holds: false, obstacle: null };
    const useful_models = [
      { ...model, model_id: "b", on_disk: false, requests_per_hour: 38.4 },
      { ...model, model_id: "a", holds: true, requests_per_hour: 2 },
      { ...model, model_id: "c", requests_per_hour: 1 },
      { ...model, model_id: "d", requests_per_hour: 0 },
      { ...model, model_id: "e", requests_per_hour: null, obstacle: "it needs 96 GB of memory" },
    ];
    expect(detailLines({ ...details, useful_models }).find(({ name }) => name === "Most useful")?.value).toBe(
      "b (+38 requests/h, not on its disk); a (+2.0 requests/h, as it is); c (+1.0 requests/h)",
    );
  });

  it("say how long a request it takes, if it says so and the coordinator knows", () => {
    expect(valueOf({ ...details, context_length: 32_768 }, "Longest request")).toBe("32,768 tokens");
    expect(valueOf(details, "Longest request")).toBeUndefined();
    const { context_length: _, ...ofEarlier } = details;
    expect(valueOf(ofEarlier as typeof details, "Longest request")).toBeUndefined();
  });

  it("say with which token it came, by name if that is known, and nothing if nobody knows", () => {
    const came = "Came with the token";
    expect(valueOf(details, came)).toBe("token");
    expect(detailLines(details, "office").find(({ name }) => name === came)?.value).toBe("office (token)");
    expect(valueOf({ ...details, token_id: null }, came)).toBeUndefined();
  });

  it("say what it has proven, and what was wrong with its proof", () => {
    expect(valueOf(details, "Has proven")).toBe("nothing about its key");
    expect(valueOf({ ...details, trust_level: "hardware" }, "Has proven")).toBe(
      "that it holds its key, which a genuine Apple device vouches for",
    );
    expect(valueOf({ ...details, trust_level: "self_signed", trust_problem: "p" }, "Has proven")).toBe(
      "that it holds its key; p",
    );
    expect(valueOf({ ...details, pools: [] }, "Has proven")).toBeUndefined();
  });

  it("tell a machine that is gone from one that no request may go to", () => {
    expect(valueOf({ ...details, stays_because: "offline" }, "The last plan")).toBe(
      "leaves it, because nothing is heard of it",
    );
    expect(valueOf({ ...details, stays_because: "not_routable" }, "The last plan")).toBe(
      "leaves it, because it is connected, but no request may go to it now",
    );
  });

  it("say how far an order is, and what it waits for", () => {
    const order = {
      reason: "pinned",
      phase: "releasing",
      outcome: null,
      error: null,
      waiting_for: ["b"],
      pinned: true,
    };
    expect(detailLines({ ...details, order }).find(({ name }) => name === "Newest order")?.value).toBe(
      "under way: releasing, waits for b (epoch 7; an operator has pinned it)",
    );
    const sent = { ...order, phase: "ordered", waiting_for: [] };
    expect(
      detailLines({ ...details, state: "offline", order: sent }).find(({ name }) => name === "Newest order")
        ?.value,
    ).toBe("under way: waits until it is connected (epoch 7; an operator has pinned it)");
  });
});
