/**
 * Server-sent events out of bytes that may be cut anywhere, inside a character too. Sans IO: bytes in, what has
 * become complete out. Only what pools send is known: one `data:` line per event, and comments.
 */

export type SseItem = { readonly type: "data" | "comment"; readonly text: string };

export class SseReader {
  readonly #decoder = new TextDecoder();
  #rest = "";

  feed(bytes: Uint8Array): SseItem[] {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split(/\r?\n/);
    this.#rest = lines.pop() ?? "";
    const items: SseItem[] = [];
    for (const line of lines) {
      if (line.startsWith("data: ")) items.push({ type: "data", text: line.slice(6) });
      else if (line.startsWith(":")) items.push({ type: "comment", text: line });
    }
    return items;
  }
}
