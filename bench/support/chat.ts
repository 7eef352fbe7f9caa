import { Agent, request } from "node:http";

import { TOKEN_MARK, workName, type Work } from "./work.ts";

/** An address to send chats to, with the headers it wants. */
export interface Target {
  readonly name: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
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
const SILENCE_LIMIT_MS = 30_000;

interface ChatOptions {
  /** What the user says; the mocks do not care. */
  readonly prompt?: string;
  /** Of the request, beside the model; messages among them replace the prompt. */
  readonly fields?: object;
  /** Called with the number of tokens in each piece of the answer as it comes. */
  readonly onTokens?: (count: number) => void;
}

/**
 * Sends one chat.
 * @throws Error unless the answer is a 200 and complete.
 */
export function chat(target: Target, work: Work, options: ChatOptions = {}): Promise<Answer> {
  const stream = work.tokens > 0;
  const body = JSON.stringify({
    model: workName(work),
    stream,
    messages: [
      { role: "system", content: "You are a helpful assistant." },
      { role: "user", content: options.prompt ?? "Tell me something about foxes." },
    ],
    ...options.fields,
  });
  const headers = {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    ...target.headers,
  };
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    let firstByteMs = 0;
    let tokens = 0;
    let tail = "";
    const outgoing = request(`${target.url}/v1/chat/completions`, { method: "POST", agent, headers });
    outgoing.setTimeout(SILENCE_LIMIT_MS, () => outgoing.destroy(new Error(`${target.name} fell silent`)));
    outgoing.on("error", reject);
    outgoing.on("response", (response) => {
      response.on("data", (chunk: Buffer) => {
        if (firstByteMs === 0) firstByteMs = performance.now() - startedAt;
        const count = countTokens(chunk);
        tokens += count;
        options.onTokens?.(count);
        tail = (tail + chunk.toString("latin1", Math.max(0, chunk.length - 64))).slice(-64);
      });
      response.on("error", reject);
      response.on("end", () => {
        const complete = stream ? tokens === work.tokens && tail.includes("[DONE]") : tail.endsWith("}");
        if (response.statusCode === 200 && complete) {
          resolve({ tokens, firstByteMs, totalMs: performance.now() - startedAt });
        } else {
          reject(new Error(`${target.name}: status ${response.statusCode}, ${tokens} tokens, "${tail}"`));
        }
      });
    });
    outgoing.end(body);
  });
}

function countTokens(chunk: Buffer): number {
  let count = 0;
  for (let at = chunk.indexOf(TOKEN_MARK); at >= 0; at = chunk.indexOf(TOKEN_MARK, at + 1)) count += 1;
  return count;
}
