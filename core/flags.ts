import { z } from "zod";

import { fieldProblems } from "../protocol/field-problems.ts";
import { modelIdSchema } from "../protocol/ids.ts";
import { TRUST_LEVELS } from "./pool/attestation.ts";

/**
 * Everything that an operator can change while the fleet runs, each as a text value. A flag that does not parse keeps its last
 * valid value, so that a typo in KV never takes a machine out of service.
 */

const onOff = z.enum(["off", "on"], { error: 'must be "on" or "off"' });

const VERSION = /\d{1,9}\.\d{1,9}\.\d{1,9}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?/.source;

function whole(min: number, max: number) {
  const message = `must be a whole number from ${min} to ${max}`;
  return z
    .string()
    .regex(/^\d{1,12}$/, message)
    .transform(Number)
    .pipe(z.int().min(min, message).max(max, message));
}

const flagsSchema = z.object({
  /** Whether machines are assigned to pools at all. Off releases every machine. */
  assignment_gate: onOff,
  /** `shadow` plans and shows, `enforce` also moves machines. */
  placement: z.enum(["off", "shadow", "enforce"], { error: 'must be "off", "shadow" or "enforce"' }),
  /** Days in a row on which shadow must have won before `enforce` moves machines; 0 moves them at once. */
  placement_trial_days: whole(0, 14),
  /** Whether a pool without a routable machine answers 429 `pool_exhausted`. */
  pool_exhausted_429: onOff,
  tick_seconds: whole(5, 3600),
  /** A managed machine younger than this in its pool is not moved by placement. */
  min_dwell_seconds: whole(0, 86_400),
  /** Orders per tick; 0 moves nothing. */
  max_loads_per_tick: whole(0, 100_000),
  /** Loads in flight; 0 moves nothing. */
  max_pending_loads: whole(0, 100_000),
  /** After a failed load the machine is not given that model again for this long. */
  load_cooldown_seconds: whole(0, 86_400),
  /** Slowest stream that counts as served, tokens per second. */
  decode_floor_tps: whole(0, 1_000_000),
  /** Longest time to the first token worth admitting a request for, plus 1 ms per prompt token. */
  ttft_limit_ms: whole(1, 600_000),
  /** Requests that may wait in one pool. */
  queue_max: whole(0, 100_000),
  /** How long one may wait. */
  queue_wait_ms: whole(0, 60_000),
  /** Machines that have proven less get requests of their owners only. */
  min_trust_level: z.enum(TRUST_LEVELS, {
    error: 'must be "none", "self_signed" or "hardware"',
  }),
  /** Providers below it are told to update and stop (4006). */
  min_provider_version: z
    .string()
    .regex(new RegExp(`^(?:none|${VERSION})$`), 'must be a version such as 0.6.18, or "none"')
    .describe("a version such as 0.6.18, or none"),
  /** Providers below it stay unmanaged. */
  assign_min_provider_version: z
    .string()
    .regex(new RegExp(`^${VERSION}$`), "must be a version such as 0.6.18")
    .describe("a version such as 0.6.18"),
  /** Models refused with `model_shed`, separated by commas. */
  shed_models: z
    .string()
    .max(10_000)
    .transform((text) =>
      text
        .split(",")
        .map((id) => id.trim())
        .filter((id) => id !== ""),
    )
    .describe("ids of models, separated by commas; empty for none"),
});

/** The values in force, parsed. */
export type Flags = z.output<typeof flagsSchema>;
export type FlagName = keyof Flags;

/** Values as operators write them. */
export type FlagTexts = Readonly<Partial<Record<FlagName, string>>>;

export const INITIAL_TEXTS: Readonly<Record<FlagName, string>> = {
  assignment_gate: "off",
  placement: "off",
  placement_trial_days: "0",
  pool_exhausted_429: "off",
  tick_seconds: "30",
  min_dwell_seconds: "300",
  max_loads_per_tick: "4",
  max_pending_loads: "16",
  load_cooldown_seconds: "120",
  decode_floor_tps: "15",
  ttft_limit_ms: "5000",
  queue_max: "32",
  queue_wait_ms: "6000",
  min_trust_level: "none",
  min_provider_version: "none",
  assign_min_provider_version: "0.6.18",
  shed_models: "",
};

/**
 * Values for flags whose stored value only a later version understands; flags that are not listed get their initial value. Both
 * are on the safe side: with the gate `off` all machines would be released at once, and with `none` machines that have proven
 * nothing would get the requests of clients.
 */
export const UNREADABLE_TEXTS: FlagTexts = { assignment_gate: "on", min_trust_level: "hardware" };

export const flagNameSchema = flagsSchema.keyof();
export const FLAG_NAMES: readonly FlagName[] = flagNameSchema.options;

/** The accepted values of a flag: one of some words, an integer, or a text with a description. */
export type FlagTakes =
  | { readonly choices: readonly string[] }
  | { readonly min: number; readonly max: number }
  | { readonly text: string };

/** The accepted values of a flag, for forms and messages. */
export function takenBy(name: FlagName): FlagTakes {
  const schema: z.ZodType = flagsSchema.shape[name];
  if (schema instanceof z.ZodEnum) return { choices: schema.options.map(String) };
  if (schema instanceof z.ZodPipe && schema.out instanceof z.ZodNumber) {
    const { minValue, maxValue } = schema.out;
    if (minValue !== null && maxValue !== null) return { min: minValue, max: maxValue };
  }
  return { text: schema.description ?? "" };
}

/** Null if `text` is a value of this flag, else a sentence about what is wrong. */
export function flagProblem(name: FlagName, text: string): string | null {
  const parsed = flagsSchema.shape[name].safeParse(text, { error: fieldProblems });
  if (!parsed.success) return `${name} ${parsed.error.issues[0]?.message ?? "is not valid"}`;
  return name === "shed_models" ? impossibleModel(flagsSchema.shape.shed_models.parse(text)) : null;
}

/**
 * A shed model need not be in the catalog, but its id must be a valid one. The schema does not check that, because values that
 * are in force already must stay readable.
 */
function impossibleModel(ids: readonly string[]): string | null {
  for (const id of ids) {
    const parsed = modelIdSchema.safeParse(id);
    if (!parsed.success) {
      const must = parsed.error.issues[0]?.message ?? "must be an id of a model";
      return `shed_models must be ids of models, separated by commas; "${id.slice(0, 64)}" is none: an id ${must}`;
    }
  }
  return null;
}

/** Whether a text that was in force can be read: less than is asked of a new one. */
export function isReadable(name: FlagName, text: string): boolean {
  return flagsSchema.shape[name].safeParse(text).success;
}

/** Every flag's value: the text given, or the initial one. @throws if a text is not readable */
export function readFlags(texts: FlagTexts): Flags {
  return flagsSchema.parse({ ...INITIAL_TEXTS, ...texts });
}
