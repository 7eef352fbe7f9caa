import { Agent, request, type IncomingMessage } from "node:http";

import { z } from "zod";

import type { Target } from "./chat.ts";
import { numberedPrompt, numberedWord, workName, type Work } from "./work.ts";

/** One streamed chat whose answer is checked token by token, and what became of it, whatever that was. */

export interface Answered {
  readonly question: number;
  readonly outcome: Outcome;
  /** Tokens that have come in order, from the first on. */
  readonly tokens: number;
  /** From the request to the first token, in milliseconds; null if none came. */
  readonly firstTokenMs: number | null;
}

export type Outcome =
  /** A 200 with every token and its `[DONE]`. */
  | { readonly kind: "complete" }
  /** A stream that ended with an error event. */
  | { readonly kind: "cut"; readonly code: string }
  | Refused
  /** A token twice, missing, or of another answer. */
  | { readonly kind: "doubled"; readonly text: string }
  /** No end that says what became of it. */
  | { readonly kind: "lost"; readonly why: string };

export interface Refused {
  readonly kind: "refused";
  readonly status: number;
  /** In the envelope; null if that is not one. */
  readonly code: string | null;
  /** `x-pool-reason`. */
  readonly reason: string | null;
  /** NaN if there is none. */
  readonly retryAfterS: number;
}

const eventSchema = z.object({
  choices: z.array(z.object({ delta: z.object({ content: z.string().optional() }) })),
  error: z.object({ code: z.string() }).optional(),
});
const envelopeSchema = z.object({ error: z.object({ code: z.string() }) });

const agent = new Agent({ keepAlive: true, maxSockets: Infinity });

/** Longer than a line's patience and the longest answer together. */
const SILENCE_LIMIT_MS = 20_000;

/**
 * Never throws.
 * @param onRefused called as soon as a refusal's head has come.
 */
export function ask(
  target: Target,
  work: Work,
  question: number,
  onRefused: () => void = () => undefined,
): Promise<Answered> {
  const body = JSON.stringify({
    model: workName(work),
    stream: true,
    messages: [{ role: "user", content: numberedPrompt(question) }],
  });
  const headers = {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    ...target.headers,
  };
  return new Promise((resolve) => {
    const askedAt = performance.now();
    let firstTokenMs: number | null = null;
    let hasHead = false;
    const lose = (why: unknown): void =>
      resolve({ question, outcome: { kind: "lost", why: String(why) }, tokens: 0, firstTokenMs });
    const outgoing = request(`${target.url}/v1/chat/completions`, { method: "POST", agent, headers });
    outgoing.setTimeout(SILENCE_LIMIT_MS, () => outgoing.destroy(new Error("it fell silent")));
    outgoing.on("error", (error) => {
      // The server had closed the idle connection before it could see the request.
      if (outgoing.reusedSocket && "code" in error && error.code === "ECONNRESET" && !hasHead) {
        resolve(ask(target, work, question, onRefused));
      } else lose(error);
    });
    outgoing.on("response", (response) => {
      hasHead = true;
      if (response.statusCode !== 200) onRefused();
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        firstTokenMs ??= part.includes("~") ? performance.now() - askedAt : null;
        text += part;
      });
      response.on("error", lose);
      response.on("end", () => resolve({ question, firstTokenMs, ...read(response, text, work, question) }));
    });
    outgoing.end(body);
  });
}

function read(
  { statusCode = 0, headers }: IncomingMessage,
  text: string,
  work: Work,
  question: number,
): Pick<Answered, "outcome" | "tokens"> {
  if (statusCode !== 200) {
    const reason = headers["x-pool-reason"];
    return {
      tokens: 0,
      outcome: {
        kind: "refused",
        status: statusCode,
        code: codeIn(text),
        reason: typeof reason === "string" ? reason : null,
        retryAfterS: Number(headers["retry-after"] ?? Number.NaN),
      },
    };
  }
  return readStream(text, work, question);
}

function readStream(text: string, work: Work, question: number): Pick<Answered, "outcome" | "tokens"> {
  let tokens = 0;
  let cut: string | null = null;
  let isDone = false;
  for (const event of text.split("\n\n")) {
    if (!event.startsWith("data: ")) continue;
    const payload = event.slice("data: ".length);
    if (isDone || cut !== null)
      return { tokens, outcome: { kind: "lost", why: "something came after the end" } };
    if (payload === "[DONE]") {
      isDone = true;
      continue;
    }
    const { choices, error } = eventSchema.parse(JSON.parse(payload));
    cut = error?.code ?? null;
    const content = choices[0]?.delta.content ?? "";
    if (content === "") continue;
    if (content !== `~${numberedWord(question, tokens)}`)
      return { tokens, outcome: { kind: "doubled", text: content } };
    tokens += 1;
  }
  if (cut !== null) return { tokens, outcome: { kind: "cut", code: cut } };
  if (!isDone) return { tokens, outcome: { kind: "lost", why: "the stream ended without a word" } };
  if (tokens === work.tokens) return { tokens, outcome: { kind: "complete" } };
  return { tokens, outcome: { kind: "lost", why: `${tokens} tokens of ${work.tokens}` } };
}

function codeIn(body: string): string | null {
  try {
    return envelopeSchema.parse(JSON.parse(body)).error.code;
  } catch {
    return null;
  }
}
