import { Agent, request } from "node:http";

import { TOKEN_MARK, workName, type Work } from "./work.ts";

/** An address to send chats to, with the headers it wants. */
export interface Target {
  readonly name: string;
  readonly url: string;
  readonly headers: Record<string, string>;
  /** The server under test; null for the mock itself. */
  readonly pid: number | null;
}

export interface Answer {
  readonly tokens: number;
  /** From the request to the first byte of the body, and to its end, in milliseconds. */
  readonly firstByteMs: number;
  readonly totalMs: number;
}

const agent = new Agent({ keepAlive: true, maxSockets: Infinity });

/** Sends one chat. @throws Error unless the answer is a 200 and complete. */
export function chat(target: Target, work: Work): Promise<Answer> {
  const stream = work.tokens > 0;
  const body = JSON.stringify({
    model: workName(work),
    stream,
    messages: [
      { role: "system", content: "You are a helpful assistant." },
      { role: "user", content: "Tell me something about foxes." },
    ],
  });
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    let firstByteMs = 0;
    let tokens = 0;
    let tail = "";
    const outgoing = request(
      `${target.url}/v1/chat/completions`,
      {
        method: "POST",
        agent,
        headers: {
          "content-type": "application/json",
          "content-length": Buffer.byteLength(body),
          ...target.headers,
        },
      },
      (response) => {
        response.on("data", (chunk: Buffer) => {
          if (firstByteMs === 0) firstByteMs = performance.now() - startedAt;
          for (let at = chunk.indexOf(TOKEN_MARK); at >= 0; at = chunk.indexOf(TOKEN_MARK, at + 1))
            tokens += 1;
          tail = (tail + chunk.toString("latin1", Math.max(0, chunk.length - 64))).slice(-64);
        });
        response.on("error", reject);
        response.on("end", () => {
          const complete = stream ? tokens === work.tokens && tail.includes("[DONE]") : tail.endsWith("}");
          if (response.statusCode === 200 && complete) {
            resolve({ tokens, firstByteMs, totalMs: performance.now() - startedAt });
          } else
            reject(new Error(`${target.name}: status ${response.statusCode}, ${tokens} tokens, "${tail}"`));
        });
      },
    );
    outgoing.setTimeout(30_000, () => outgoing.destroy(new Error(`${target.name}: silent for 30 s`)));
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

/** Keeps `concurrency` chats open for `seconds`, then lets them end. */
export async function load(
  target: Target,
  work: Work,
  concurrency: number,
  seconds: number,
): Promise<Answer[]> {
  const until = performance.now() + seconds * 1000;
  const answers: Answer[] = [];
  const lane = async (): Promise<void> => {
    do answers.push(await chat(target, work));
    while (performance.now() < until);
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
  return answers;
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
