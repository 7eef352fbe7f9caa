/**
 * Custom tools of the Responses API take plain text, and machines know only functions with JSON arguments. So a machine
 * sees a custom tool as a function of one text, and the text is taken out of the arguments while they are written.
 */

/** @param pattern of the whole text, or null */
export function customToolParameters(pattern: string | null): object {
  const input = { type: "string", ...(pattern === null ? {} : { pattern: `^(?:${pattern})$` }) };
  return { type: "object", properties: { input }, required: ["input"], additionalProperties: false };
}

export function inputToArguments(input: string): string {
  return JSON.stringify({ input });
}

const OPENING = /^\s*\{\s*"input"\s*:\s*"/;
/** Arguments whose first so many characters are not the opening have another shape. */
const OPENING_CHARS_MAX = 64;
const PLAIN_OR_ESCAPE = /[^"\\]+|\\(?:u[\da-fA-F]{4}|[^u])/y;
const CONTROLS: Readonly<Record<string, string>> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

/**
 * Takes the text out of a call's arguments, which come in pieces. Arguments of another shape, from a machine that does
 * not keep to schemas, are given as they are. Sans IO; one of these reads one call.
 */
export class InputReader {
  #unread = "";
  #at: "before" | "inside" | "after" | "without" = "before";
  /** Half of a character beyond 16 bits. Not all clients can put one together from two events. */
  #half = "";

  /** @returns what the piece adds to the text */
  feed(piece: string): string {
    if (this.#at === "after") return "";
    this.#unread += piece;
    if (this.#at === "without") return this.end();
    if (this.#at === "before") {
      const opening = OPENING.exec(this.#unread);
      if (opening === null) {
        if (this.#unread.length <= OPENING_CHARS_MAX) return "";
        this.#at = "without";
        return this.end();
      }
      this.#unread = this.#unread.slice(opening[0].length);
      this.#at = "inside";
    }
    return this.#read();
  }

  /** @returns what was held back for an opening that has not come */
  end(): string {
    const held = this.#at === "before" || this.#at === "without" ? this.#unread : "";
    this.#unread = "";
    return held;
  }

  #read(): string {
    let text = this.#half;
    let end = 0;
    for (;;) {
      PLAIN_OR_ESCAPE.lastIndex = end;
      const token = PLAIN_OR_ESCAPE.exec(this.#unread)?.[0];
      if (token === undefined) break;
      text += token.startsWith("\\") ? unescape(token) : token;
      end += token.length;
    }
    if (this.#unread[end] === '"') this.#at = "after";
    this.#unread = this.#unread.slice(end);
    this.#half = this.#at === "inside" ? (/[\uD800-\uDBFF]$/.exec(text)?.[0] ?? "") : "";
    return text.slice(0, text.length - this.#half.length);
  }
}

function unescape(token: string): string {
  const kind = token.charAt(1);
  if (kind === "u") return String.fromCharCode(Number.parseInt(token.slice(2), 16));
  return CONTROLS[kind] ?? kind;
}
