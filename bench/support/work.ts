/** What the mocks answer, told by the model's name: every gateway passes that on. */

export interface Work {
  readonly tokens: number;
  /** Time between two tokens, in milliseconds; 0 for as fast as possible. */
  readonly intervalMs: number;
  /** What reading the prompt takes before the first token, in milliseconds; nothing, if left out. */
  readonly prefillMs?: number;
}

/** One whole answer that is not streamed. */
export const CHAT: Work = { tokens: 0, intervalMs: 0 };
export const PACED: Work = { tokens: 200, intervalMs: 20 };
/** Longer streams at the same pace: what falls behind a little at a time has time to show. */
export const PACED_LONG: Work = { tokens: 400, intervalMs: 20 };
export const BLAST: Work = { tokens: 1000, intervalMs: 0 };
export const ONE_TOKEN: Work = { tokens: 1, intervalMs: 0 };
/** Short answers of 300, 400 and 500 ms, so that slots do not come free in step. */
export const MIXED: readonly Work[] = [11, 16, 21].map((tokens) => ({
  tokens,
  intervalMs: 20,
  prefillMs: 100,
}));
/** 1.3 s, half of it before the first token. */
export const LONGER: Work = { tokens: 36, intervalMs: 20, prefillMs: 600 };
export const ALL_WORKS = [CHAT, PACED, PACED_LONG, BLAST, ONE_TOKEN, ...MIXED, LONGER];

/** One token as a server-sent event of about 180 bytes. `~` occurs in it once and nowhere else: clients count it. */
export const TOKEN = tokenOf("word");
export const TOKEN_MARK_TEXT = "~";
export const TOKEN_MARK = 0x7e;
export const DONE = Buffer.from("data: [DONE]\n\n");

/** At full speed this many tokens go into one record or one write. */
export const TOKENS_PER_RECORD = 10;
export const RECORD = Buffer.concat(Array.from({ length: TOKENS_PER_RECORD }, () => TOKEN));

export const COMPLETION = Buffer.from(
  JSON.stringify({
    id: "chatcmpl-bench",
    object: "chat.completion",
    created: 1_700_000_000,
    model: "bench",
    choices: [
      {
        index: 0,
        message: { role: "assistant", content: "The quick brown fox jumps over the lazy dog. ".repeat(4) },
        finish_reason: "stop",
      },
    ],
    usage: { prompt_tokens: 20, completion_tokens: 40, total_tokens: 60 },
  }),
);

export function workName({ tokens, intervalMs, prefillMs = 0 }: Work): string {
  return ["bench", tokens, intervalMs, ...(prefillMs > 0 ? [prefillMs] : [])].join("-");
}

export function parseWork(model: string): Work {
  const [, tokens, intervalMs, prefillMs] = model.split("-").map(Number);
  return { tokens: tokens ?? 0, intervalMs: intervalMs ?? 0, prefillMs: prefillMs ?? 0 };
}

/** A prompt whose answer says, token by token, which question it answers and how far it is. */
export function numberedPrompt(question: number): string {
  return `Question ${question}`;
}

/** The question's number; null if it has none. */
export function questionIn(prompt: string): number | null {
  const [, question] = /^Question (\d+)$/.exec(prompt) ?? [];
  return question === undefined ? null : Number(question);
}

/** What the token with that index says, behind its mark. */
export function numberedWord(question: number, index: number): string {
  return `${question}.${index} `;
}

export function tokenOf(word: string): Buffer {
  return Buffer.from(
    `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench",` +
      `"choices":[{"index":0,"delta":{"content":"~${word}"},"finish_reason":null}]}\n\n`,
  );
}

interface Paced {
  readonly startedAt: number;
  readonly work: Work;
  readonly write: (bytes: Buffer) => void;
  readonly end: () => void;
  readonly tokenAt: (index: number) => Buffer;
  sent: number;
}

/** How often paced streams are looked at: finer than their pace, so that streams do not send in step. */
const TICK_MS = 1;

const paced = new Set<Paced>();
let ticker: NodeJS.Timeout | null = null;

/** Writes a stream's tokens on schedule; after a stall it catches up, so lag seen by clients is never the mock's rate. */
export function play(
  work: Work,
  write: (bytes: Buffer) => void,
  end: () => void,
  tokenAt: (index: number) => Buffer = () => TOKEN,
): void {
  if (work.intervalMs === 0) {
    blast(work.tokens, write, end);
    return;
  }
  const startedAt = performance.now() + (work.prefillMs ?? 0);
  paced.add({ startedAt, work, write, end, tokenAt, sent: 0 });
  tick();
  ticker ??= setInterval(tick, TICK_MS);
}

/** Lets the event loop run after each record, so that Node does not join them into one write. */
function blast(left: number, write: (bytes: Buffer) => void, end: () => void): void {
  if (left > 0) {
    write(left >= TOKENS_PER_RECORD ? RECORD : TOKEN);
    setImmediate(blast, left - Math.min(left, TOKENS_PER_RECORD), write, end);
    return;
  }
  write(DONE);
  end();
}

function tick(): void {
  const now = performance.now();
  for (const stream of paced) {
    const due = Math.min(
      stream.work.tokens,
      1 + Math.floor((now - stream.startedAt) / stream.work.intervalMs),
    );
    for (; stream.sent < due; stream.sent++) stream.write(stream.tokenAt(stream.sent));
    if (stream.sent < stream.work.tokens) continue;
    paced.delete(stream);
    stream.write(DONE);
    stream.end();
  }
  if (paced.size > 0 || ticker === null) return;
  clearInterval(ticker);
  ticker = null;
}
