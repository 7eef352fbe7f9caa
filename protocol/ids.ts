import { z } from "zod";

/**
 * Identifiers on the wire. Those that are easily mixed up are branded, so that a machine id cannot be passed where a model id
 * is expected; parsing with the schema is the only way to create one.
 */

/** Chosen by a provider at its first start and kept; global in the fleet (H22). */
export const machineIdSchema = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9-]{2,63}$/,
    "must have 3 to 64 characters: a-z, 0-9 and -, beginning with a letter or digit",
  )
  .brand<"MachineId">();
export type MachineId = z.infer<typeof machineIdSchema>;

const MODEL_ID = /^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}$/;

/** A catalog id such as `gpt-oss-20b` or `org/name`. `#` is left out: it separates a pool's shard number. */
export const modelIdSchema = z
  .string()
  .regex(
    MODEL_ID,
    "must have 1 to 128 characters: letters, digits and . _ : @ / -, beginning with a letter or digit",
  )
  .brand<"ModelId">();
export type ModelId = z.infer<typeof modelIdSchema>;

/** The same as the schema says, for the path of each request. */
export function isModelId(text: string): text is ModelId {
  return MODEL_ID.test(text);
}

/** Names one request across its attempts on several machines. */
export const REQUEST_ID = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$/;
export const requestIdSchema = z.string().regex(REQUEST_ID);

/** Highest epoch that parses (H9); far below 2^53, so arithmetic on epochs stays exact (F6). */
export const MAX_EPOCH = 2 ** 48;

/**
 * Highest epoch that is accepted from a machine if this fleet has not issued it. The rest of the range is reserved for the
 * orders that must exceed it (H9), more than will ever be needed.
 */
export const MAX_FOREIGN_EPOCH = 2 ** 48 - 2 ** 32;

/** Fencing number of an assignment: per machine, strictly increasing, 0 means "never managed". */
export const epochSchema = z.int().min(0).max(MAX_EPOCH).brand<"Epoch">();
export type Epoch = z.infer<typeof epochSchema>;

/** The epoch of a machine that was never managed. */
export const NEVER_MANAGED: Epoch = epochSchema.parse(0);

/** Number of a response stream on one socket; never used twice on it. */
export const streamIdSchema = z.int().min(0).max(0xffff_ffff);
