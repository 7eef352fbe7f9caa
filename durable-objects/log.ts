/**
 * Structured logs: one object per event, which the platform's log search can filter by field. Prompt and completion
 * text never goes in here.
 */

type Fields = Readonly<Record<string, string | number | boolean | null>>;

/** Something went wrong that the system mends by itself. */
export function logWarning(event: string, fields: Fields): void {
  console.warn({ event, ...fields });
}

/** Something went wrong that somebody has to look at. */
export function logError(event: string, fields: Fields): void {
  console.error({ event, ...fields });
}
