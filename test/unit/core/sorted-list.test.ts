import fc from "fast-check";
import { expect, it } from "vitest";

import { SortedList } from "../../../core/sorted-list.ts";

it("holds in order what has come and not gone, whatever has", () => {
  const change = fc.tuple(fc.constantFrom("add", "add", "remove"), fc.nat(400));
  fc.assert(
    fc.property(fc.array(change, { minLength: 500, maxLength: 1000 }), (changes) => {
      const list = new SortedList<number>((a, b) => a - b);
      const expected = new Set<number>();
      for (const [what, value] of changes) {
        if (what === "remove") list.remove(value);
        else if (!expected.has(value)) list.add(value);
        if (what === "remove") expected.delete(value);
        else expected.add(value);
      }
      const pieces = [...list.pieces];
      expect(pieces.flat()).toEqual([...expected].toSorted((a, b) => a - b));
      // None is empty, and none so long that it is slow.
      for (const { length } of pieces) expect([length > 0, length <= 64]).toEqual([true, true]);
    }),
    { numRuns: 50 },
  );
});
