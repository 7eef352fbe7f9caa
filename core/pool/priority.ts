import { z } from "zod";

/** How API keys stand to each other while a model's machines are busy. A key is `normal` unless an operator says so. */

export const prioritySchema = z.enum(["high", "normal", "low"]);

export type Priority = z.infer<typeof prioritySchema>;

/** Whose turn it is: the lower the sooner. */
export const RANK: Record<Priority, number> = { high: 0, normal: 1, low: 2 };

export function isPriority(text: string): text is Priority {
  return Object.hasOwn(RANK, text);
}

/** How slots, and places in a full line, are shared between keys that want them all. */
export const SHARE: Record<Priority, number> = { high: 4, normal: 2, low: 1 };
