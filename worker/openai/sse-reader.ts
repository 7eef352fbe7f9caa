/**
 * Server-sent events out of bytes that may be cut anywhere, inside a character too. Sans IO: bytes in, what has
 * become complete out. Known are data and comments, with the freedoms that machines of others may take: no blank behind
 * the colon, and data of several lines.
 */

export type SseItem = { readonly type: "data" | "comment"; readonly text: string };

export class SseReader {
  readonly #decoder = new TextDecoder();
  #rest = "";
  /** The data lines of an event whose blank line has not come. */
  #data: string[] = [];

  feed(bytes: Uint8Array): SseItem[] {
    const lines = this.#decoder.decode(bytes, { stream: true }).split("\n");
    const items: SseItem[] = [];
    for (const [at, text] of lines.entries()) {
      // Looked at only once it is whole: a long one comes in a thousand pieces.
      this.#rest += text;
      if (at === lines.length - 1) break;
      const line = this.#rest.endsWith("\r") ? this.#rest.slice(0, -1) : this.#rest;
      this.#rest = "";
      if (line.startsWith("data:")) this.#data.push(line.slice(line[5] === " " ? 6 : 5));
      else if (line.startsWith(":")) items.push({ type: "comment", text: line });
      else if (line === "" && this.#data.length > 0) {
        items.push({ type: "data", text: this.#data.join("\n") });
        this.#data = [];
      }
    }
    return items;
  }
}
