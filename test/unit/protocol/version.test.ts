import { createHash } from "node:crypto";

import { expect, it } from "vitest";
import { z } from "zod";

import { CLOSE } from "../../../protocol/close-codes.ts";
import { downstreamSchema } from "../../../protocol/downstream.ts";
import { upstreamSchema } from "../../../protocol/upstream.ts";
import { PROTOCOL_HISTORY, PROTOCOL_VERSION } from "../../../protocol/version.ts";

/** The hash of the wire as each version shipped it. */
const SHIPPED: Readonly<Record<number, string>> = {
  1: "18dd2604866b4ec1",
};

it("changes no message or close code without a new protocol version", () => {
  const wire = [z.toJSONSchema(upstreamSchema), z.toJSONSchema(downstreamSchema), CLOSE];
  const hash = createHash("sha256").update(JSON.stringify(wire)).digest("hex").slice(0, 16);
  const advice =
    "The wire has changed. Programs we did not write speak it: raise PROTOCOL_VERSION, add a line to " +
    `PROTOCOL_HISTORY that says what changed, describe it in docs/protocol.md, and add the hash ${hash} here.`;
  expect(hash, advice).toBe(SHIPPED[PROTOCOL_VERSION]);
});

it("has one line of history for every version", () => {
  expect(Object.keys(PROTOCOL_HISTORY).map(Number)).toEqual(
    Array.from({ length: PROTOCOL_VERSION }, (_, index) => index + 1),
  );
});
