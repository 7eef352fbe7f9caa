import { expect, it } from "vitest";

import { modelOfPool, poolName } from "../../../core/pool-name.ts";
import { modelIdSchema } from "../../../protocol/ids.ts";

it("a pool is named by its model, and by its shard if there is more than one", () => {
  expect(poolName("org/model")).toBe("org/model");
  expect(poolName("org/model", 2)).toBe("org/model#2");
  expect([poolName("org/model"), poolName("org/model", 2)].map(modelOfPool)).toEqual([
    "org/model",
    "org/model",
  ]);
  // So no model can be taken for the shard of another.
  expect(modelIdSchema.safeParse("org/model#2").success).toBe(false);
});
