/** Not of the APIs that are translated, but clients that know our engine may send them there as they do in a chat. */
const SAMPLING = [
  "seed",
  "stop",
  "frequency_penalty",
  "presence_penalty",
  "top_k",
  "min_p",
  "repeat_penalty",
  "grammar",
] as const;

/** Those of a chat's fields that a request has. */
export function samplingOf(request: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(SAMPLING.map((name) => [name, request[name] ?? undefined]));
}
