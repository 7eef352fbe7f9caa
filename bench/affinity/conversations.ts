import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

/**
 * Conversations with the arrival times and lengths of a real chat service: the first 3,000 requests of the Mooncake
 * conversation trace (kvcache-ai/Mooncake, Apache-2.0). The trace as it is here does not say which requests belong
 * together, so they are put together by their lengths: a request goes on with the open conversation that leaves the
 * least new text, if there is one that it could go on with, else it opens one.
 */

export interface Turn {
  readonly atMs: number;
  readonly conversation: number;
  /** How many turns came before. */
  readonly turn: number;
  /** At the beginning of the prompt; those of every other begin with them, too. */
  readonly sharedTokens: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
}

/** Prompts of the trace are 12,000 tokens long on average, for machines in a data centre; these are an eighth. */
const PROMPT_SCALE = 1 / 8;
const OUTPUT_SCALE = 1 / 4;

/** Nobody reads an answer and replies sooner, and nobody comes back later. */
const SHORTEST_PAUSE_MS = 8_000;
const LONGEST_PAUSE_MS = 600_000;

/** A reply is at most this share of the prompt. */
const MOST_NEW = 0.6;

interface Open {
  readonly id: number;
  turns: number;
  tokens: number;
  lastAtMs: number;
}

/** @param sharedTokens with which all prompts begin, beside what the trace says of them. */
export function readConversations(sharedTokens = 0): Turn[] {
  const csv = gunzipSync(readFileSync(new URL("mooncake-3000.csv.gz", import.meta.url))).toString();
  const open: Open[] = [];
  return csv
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => {
      const [atMs = 0, prompt = 0, output = 0] = line.split(",").map(Number);
      const promptTokens = Math.max(20, Math.round(prompt * PROMPT_SCALE));
      const outputTokens = Math.max(4, Math.round(output * OUTPUT_SCALE));
      const conversation = continued(open, atMs, promptTokens) ?? opened(open);
      const turn = conversation.turns;
      Object.assign(conversation, {
        turns: turn + 1,
        tokens: promptTokens + outputTokens,
        lastAtMs: atMs,
      });
      return {
        atMs,
        conversation: conversation.id,
        turn,
        sharedTokens,
        promptTokens: sharedTokens + promptTokens,
        outputTokens,
      };
    });
}

function continued(open: readonly Open[], atMs: number, promptTokens: number): Open | null {
  let best: Open | null = null;
  for (const conversation of open) {
    const pauseMs = atMs - conversation.lastAtMs;
    if (pauseMs < SHORTEST_PAUSE_MS || pauseMs > LONGEST_PAUSE_MS) continue;
    const { tokens } = conversation;
    if (tokens >= promptTokens || tokens < (1 - MOST_NEW) * promptTokens) continue;
    if (best === null || tokens > best.tokens) best = conversation;
  }
  return best;
}

function opened(open: Open[]): Open {
  const conversation = { id: open.length, turns: 0, tokens: 0, lastAtMs: 0 };
  open.push(conversation);
  return conversation;
}
