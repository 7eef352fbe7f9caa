/**
 * How many values are in JSON, told from its text before anything is made of it: a body of a few MiB may hold millions of
 * them, and to say what is wrong with each takes a thousand times its memory.
 */

const QUOTE = 0x22;
const COMMA = 0x2c;
const BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const BRACE = 0x7b;

/** Whether there are more entries of lists and fields of objects than so many. Of what is no JSON nothing follows. */
export function hasMoreValuesThan(most: number, text: string): boolean {
  let values = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) at = endOfString(text, at);
    else if (unit === COMMA || unit === BRACKET || unit === BRACE) values += 1;
    if (values > most) return true;
  }
  return false;
}

/** @param start of its quotes. */
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
