import { expect, it } from "vitest";

import { TtlCache } from "../../../worker/ttl-cache.ts";

it("what an isolate has read of late is all forgotten once it is too much, and never grows beyond", () => {
  const recent = new TtlCache<number>(1000, 2);
  recent.set("a", 1, 0);
  recent.set("b", 2, 0);
  expect([recent.get("a", 0), recent.get("b", 0)]).toEqual([1, 2]);
  recent.set("c", 3, 0);
  expect(["a", "b", "c"].map((name) => recent.get(name, 0))).toEqual([undefined, undefined, 3]);
});
