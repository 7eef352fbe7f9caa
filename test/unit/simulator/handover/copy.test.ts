import { describe, expect, it } from "vitest";

import { copyOf } from "../../../../simulator/handover/copy.ts";

describe("copyOf", () => {
  const original = () => ({
    text: "a",
    nothing: null,
    left: undefined,
    list: [{ deep: [true] }],
    map: new Map([["key", { value: 1 }]]),
  });

  it("copies what `structuredClone` copies", () => {
    expect(copyOf(original())).toStrictEqual(structuredClone(original()));
  });

  it("shares nothing with the original", () => {
    const data = original();
    const copy = copyOf(data);
    for (const { deep } of data.list) deep.push(false);
    data.list.pop();
    for (const item of data.map.values()) item.value = 2;
    expect(copy).toStrictEqual(original());
  });

  it.each([
    ["a function", () => {}, /a function/],
    ["a symbol", Symbol("s"), /a symbol/],
    ["a set", new Set([1]), /Set/],
    ["an instance of a class", new Date(0), /Date/],
  ])("refuses %s, also within data, since it could be changed by both sides", (_what, value, message) => {
    expect(() => copyOf(value)).toThrow(message);
    expect(() => copyOf({ list: [value] })).toThrow(TypeError);
  });
});
