/**
 * Counts values in JSON text before it is parsed: a body of a few MiB can hold millions, and validating those, with an issue
 * for each, can take a thousand times the memory of the text.
 */

const QUOTE = 0x22;
const COMMA = 0x2c;
const BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const BRACE = 0x7b;

/** Whether the text has more array entries and object fields than `most`. Meaningless for text that is not JSON. */
export function hasMoreValuesThan(most: number, text: string): boolean {
  // Each takes a character at least. Nearly all bodies are so short, and counting takes as long as parsing.
  if (text.length <= most) return false;
  let values = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) at = endOfString(text, at);
    else if (unit === COMMA || unit === BRACKET || unit === BRACE) values += 1;
    if (values > most) return true;
  }
  return false;
}

/** @param start index of the opening quote. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end >= 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end < 0 ? text.length : end;
}

function isEscaped(text: string, at: number): boolean {
  let first = at;
  while (text.charCodeAt(first - 1) === BACKSLASH) first -= 1;
  return (at - first) % 2 === 1;
}
