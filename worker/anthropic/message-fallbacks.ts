import { z } from "zod";

import type { FieldNames } from "../openai/chat-fields.ts";
import { fallbacksSchema, MAX_FALLBACKS } from "../openai/chat-request.ts";
import { invalid, unsupported } from "../openai/field-refusals.ts";

/**
 * Where a Messages request may go when its model turns it away: a list of names, as in all APIs here, or Anthropic's own
 * list of objects.
 */

const fallbackSchema = z.looseObject({ model: z.string().min(1) });

export const fallbackFields = {
  models: fallbacksSchema,
  // To leave the choice to the server, which makes none here.
  fallbacks: z.union([z.literal("default"), z.array(fallbackSchema).max(MAX_FALLBACKS)]).nullish(),
};

interface Fallbacks {
  readonly models?: readonly string[] | null | undefined;
  readonly fallbacks?: "default" | readonly z.infer<typeof fallbackSchema>[] | null | undefined;
}

/** @throws HttpError 400 for two lists, or for a model that would be asked something else */
export function fallbacksOf({ models, fallbacks }: Fallbacks): readonly string[] {
  const listed = listOf(fallbacks);
  if (listed.length > 0 && models != null)
    throw invalid("fallbacks", "models says the same; send one of them");
  const names = listed.map(({ model, ...others }, index) => {
    const [other] = Object.keys(others);
    if (other !== undefined)
      throw unsupported(`fallbacks[${index}].${other}`, "further models are asked what the first is asked");
    return model;
  });
  return models ?? names;
}

/** What the request calls the entries of `models`. */
export function namesOfFallbacks({ fallbacks }: Fallbacks): FieldNames {
  return listOf(fallbacks).map((_, index) => [`models[${index}]`, `fallbacks[${index}].model`]);
}

function listOf(fallbacks: Fallbacks["fallbacks"]): readonly z.infer<typeof fallbackSchema>[] {
  return fallbacks == null || fallbacks === "default" ? [] : fallbacks;
}
