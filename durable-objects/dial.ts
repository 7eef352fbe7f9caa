import { z } from "zod";

import { epochSchema, machineIdSchema } from "../protocol/ids.ts";

/** What the Worker has established about a dialing provider, passed to the pool along with the upgrade. */

const DIAL_HEADER = "x-pool-dial";

const dialerSchema = z.object({ machineId: machineIdSchema, owner: z.string(), tokenId: z.string() });

const dialSchema = dialerSchema.extend({
  /** The fleet's answer about the machine; `unknown` if there was none (H2, H19). */
  stamp: z.discriminatedUnion("mode", [
    z.object({ mode: z.enum(["unmanaged", "released", "managed"]), epoch: epochSchema }),
    z.object({ mode: z.literal("unknown") }),
  ]),
});

/** Who dials. */
export type Dialer = z.infer<typeof dialerSchema>;
export type Dial = z.infer<typeof dialSchema>;

/** The client's upgrade request with the dial added and its credentials taken out. */
export function encodeDial(upgrade: Request, dial: Dial): Request {
  const headers = new Headers(upgrade.headers);
  headers.delete("authorization");
  headers.set(DIAL_HEADER, JSON.stringify(dial));
  return new Request(upgrade, { headers });
}

/** @throws if the header is missing or wrong: only our own Worker can have sent it. */
export function decodeDial(request: Request): Dial {
  return dialSchema.parse(JSON.parse(request.headers.get(DIAL_HEADER) ?? "null"));
}
