import { describe, expect, it } from "vitest";

import { CLOSE, reconnectRule, type CloseReason } from "../../../protocol/close-codes.ts";

describe("close codes", () => {
  it.each<[CloseReason, number, string]>([
    ["normal", 1000, "soon"],
    ["goingAway", 1001, "soon"],
    ["lost", 1006, "soon"],
    ["restart", 1012, "soon"],
    ["badMessage", 4000, "later"],
    ["superseded", 4001, "unless_replaced"],
    ["released", 4002, "if_alone"],
    ["notRegistered", 4003, "soon"],
    ["silent", 4004, "soon"],
    ["notAllowed", 4005, "stop"],
    ["tooOld", 4006, "stop"],
    ["foreignKey", 4007, "stop"],
  ])("%s is %i and makes a provider reconnect: %s", (reason, code, rule) => {
    expect(CLOSE[reason].code).toBe(code);
    expect(reconnectRule(code)).toBe(rule);
  });

  it.each([0, 1005, 1011, 1015, 3000, 4008, 4999])(
    "[H7] that nobody has defined, like %i, never keep a provider away",
    (code) => {
      expect(reconnectRule(code)).toBe("soon");
    },
  );

  it("are each used once", () => {
    const codes = Object.values(CLOSE).map(({ code }) => code);
    expect(new Set(codes).size).toBe(codes.length);
    expect(codes).toHaveLength(12);
  });

  it("have a meaning that fits into a close frame", () => {
    for (const { meaning } of Object.values(CLOSE)) expect(meaning).toMatch(/^[\x20-\x7e]{1,120}$/);
  });
});
