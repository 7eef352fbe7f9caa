import { BYTES_PER_TOKEN } from "../limits.ts";
import type { Connection } from "./connection.ts";
import { isWritten, type PoolRequest, type RequestSpec } from "./request.ts";

/**
 * How much of a machine's context a request will take up, as far as its text tells. Only the engine counts tokens; a pool
 * that knows machines with little room compares with three guesses, each on its safe side for what it is used for.
 */
export interface ContextNeed {
  /** With so much there is room to spare: such a machine is taken first while it has a free slot. */
  readonly roomy: number;
  /** With less it probably does not fit: it waits for a machine that has as much, as long as requests may wait. */
  readonly likely: number;
  /** With less it certainly does not fit, unless no text is like it. */
  readonly least: number;
}

/** Letters beyond ASCII: one of Chinese is about a token, one of Russian a third. */
const OTHERS_PER_TOKEN = 2;

/** How far the guess may be off. */
const MOST_TIMES = 1.5;
const LEAST_TIMES = 0.5;

/** Room that is wanted for an answer, in tokens: clients allow for many more than most answers have. */
const ANSWER_TOKENS = 1024;

/** Where a picture is in the text, its length says nothing. */
const PICTURE = ";base64,";

/** Pieces of a long text that are looked at. */
const PIECES = 64;
const PIECE_CHARS = 64;

const BACKSLASH = 0x5c;
const LETTER_U = 0x75;
const ASCII_END = 0x80;

/** What one request for the pool's model may take up on the machine, in tokens; without end if it has named no limit. */
export function contextOf({ registration }: Connection): number {
  return registration?.contextLength ?? Infinity;
}

/** What a request needs of machines of which the smallest takes `smallest`; null if each of them takes it for certain. */
export function contextNeedOf(request: PoolRequest, smallest: number): ContextNeed | null {
  const { spec, body } = request;
  // Texts to be made vectors need a context each, and together none. One without a body is sent to no machine any more.
  if (body === null || mostTokens(body) <= smallest || !isWritten(spec)) return null;
  request.need ??= needOf(body, spec);
  return request.need.roomy <= smallest ? null : request.need;
}

/** Without a look at each letter. */
function mostTokens(body: string): number {
  return (MOST_TIMES * body.length) / OTHERS_PER_TOKEN + ANSWER_TOKENS;
}

function needOf(body: string, { answerTokens }: RequestSpec): ContextNeed {
  if (body.includes(PICTURE)) return { roomy: 0, likely: 0, least: 0 };
  const tokens = tokensIn(body);
  return {
    roomy: MOST_TIMES * tokens + Math.min(answerTokens ?? ANSWER_TOKENS, ANSWER_TOKENS),
    likely: tokens,
    least: LEAST_TIMES * tokens,
  };
}

/** Of JSON text. Of a long one as many pieces are looked at as tell enough for a guess: it may have megabytes. */
function tokensIn(text: string): number {
  if (text.length <= PIECES * PIECE_CHARS) return Math.ceil(tokensBetween(text, 0, text.length));
  let tokens = 0;
  for (let piece = 0; piece < PIECES; piece++) {
    const from = Math.floor((piece * text.length) / PIECES);
    tokens += tokensBetween(text, from, from + PIECE_CHARS);
  }
  return Math.ceil((tokens * text.length) / (PIECES * PIECE_CHARS));
}

/** A letter may be written as an escape. */
function tokensBetween(text: string, from: number, to: number): number {
  let tokens = 0;
  for (let i = from; i < to; i++) {
    const unit = text.charCodeAt(i);
    const isEscape = unit === BACKSLASH;
    const isOther = isEscape ? text.charCodeAt(i + 1) === LETTER_U : unit >= ASCII_END;
    tokens += 1 / (isOther ? OTHERS_PER_TOKEN : BYTES_PER_TOKEN);
    if (isEscape) i += isOther ? 5 : 1;
  }
  return tokens;
}
