import { createHash } from "node:crypto";

import { expect, it } from "vitest";
import { z } from "zod";

import { CLOSE } from "../../../protocol/close-codes.ts";
import { downstreamSchema } from "../../../protocol/downstream.ts";
import { upstreamSchema } from "../../../protocol/upstream.ts";
import { PROTOCOL_HISTORY, PROTOCOL_VERSION } from "../../../protocol/version.ts";

/** The hashes of the wire that each version shipped, the newest last: they differ by optional fields only. */
const SHIPPED: Readonly<Record<number, readonly string[]>> = {
  1: ["18dd2604866b4ec1", "a55aae0b146a0677", "8eed3125c1691689", "9b40a96b3e706d77", "a7a12e9feff2da78"],
};

it("changes no message or close code unnoticed", () => {
  const wire = [z.toJSONSchema(upstreamSchema), z.toJSONSchema(downstreamSchema), CLOSE];
  const hash = createHash("sha256").update(JSON.stringify(wire)).digest("hex").slice(0, 16);
  const advice =
    "The wire has changed. Programs we did not write speak it: raise PROTOCOL_VERSION, unless they may go on without " +
    "the new field, say in PROTOCOL_HISTORY what changed, describe it in docs/protocol.md, and add the hash " +
    `${hash} here.`;
  expect(hash, advice).toBe(SHIPPED[PROTOCOL_VERSION]?.at(-1));
});

it("has one line of history for every version", () => {
  expect(Object.keys(PROTOCOL_HISTORY).map(Number)).toEqual(
    Array.from({ length: PROTOCOL_VERSION }, (_, index) => index + 1),
  );
});
