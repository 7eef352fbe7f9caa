import OpenAI, { RateLimitError } from "openai";

import type { Target } from "./chat.ts";
import { numberedPrompt, numberedWord, TOKEN_MARK_TEXT, workName, type Work } from "./work.ts";

/** Official clients that all ask at once and then do with a refusal what they do by themselves. */

export interface Drained {
  readonly clients: number;
  readonly served: number;
  /** Told 429 once more than the client retries. */
  readonly gaveUp: number;
  /** What was neither. */
  readonly failures: readonly string[];
  /** When each request went out, in milliseconds since the first one. */
  readonly attemptsMs: readonly number[];
  /** Until the last client had its answer or gave up, in milliseconds. */
  readonly drainedMs: number;
}

/**
 * Returns when all are served or have given up.
 * @param maxRetries null for what the client does if nobody says.
 * @param onRefused called at each 429.
 */
export async function askAtOnce(
  target: Target,
  works: readonly Work[],
  clients: number,
  maxRetries: number | null,
  onRefused: () => void,
): Promise<Drained> {
  const startedAt = performance.now();
  const attemptsMs: number[] = [];
  let served = 0;
  let gaveUp = 0;
  const failures: string[] = [];
  const one = async (question: number): Promise<void> => {
    let attempts = 0;
    const client = new OpenAI({
      baseURL: `${target.url}/v1`,
      apiKey: target.headers["authorization"]?.replace("Bearer ", "") ?? "",
      ...(maxRetries === null ? {} : { maxRetries }),
      fetch: async (input, init) => {
        attempts += 1;
        attemptsMs.push(performance.now() - startedAt);
        const response = await fetch(input, init);
        if (response.status === 429) onRefused();
        return response;
      },
    });
    const work = works[question % works.length];
    if (work === undefined) throw new Error("there is nothing to ask for");
    try {
      const text = await answerOf(client, work, question);
      if (text === wholeAnswer(work, question)) served += 1;
      else failures.push(`answered "${text}"`);
    } catch (error) {
      if (error instanceof RateLimitError && attempts === client.maxRetries + 1) gaveUp += 1;
      else failures.push(`${String(error)} at attempt ${attempts}`);
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, question) => one(question)));
  return { clients, served, gaveUp, failures, attemptsMs, drainedMs: performance.now() - startedAt };
}

async function answerOf(client: OpenAI, work: Work, question: number): Promise<string> {
  const stream = await client.chat.completions.create({
    model: workName(work),
    stream: true,
    messages: [{ role: "user", content: numberedPrompt(question) }],
  });
  let text = "";
  for await (const { choices } of stream) text += choices[0]?.delta.content ?? "";
  return text;
}

function wholeAnswer({ tokens }: Work, question: number): string {
  return Array.from({ length: tokens }, (_, index) => TOKEN_MARK_TEXT + numberedWord(question, index)).join(
    "",
  );
}
