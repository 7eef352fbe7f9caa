import { type CharSet, intersection, minus, union } from "./char-set.ts";
import type { TextForm } from "./text-form.ts";

/** A class that is written longer than this becomes a rule of its own, as many states may have it. */
const MAX_WRITTEN_CLASS = 60;

/**
 * GBNF for JSON strings whose texts have a form, without the opening quote. Each state becomes a rule, `NAME-0` the
 * first: one of the characters that may come, and the rule of what comes then. A character has one spelling, so that no
 * model is led into the other.
 */
export function formRules({ states }: TextForm, name: string): string[] {
  const classes = new Map<string, string>();
  const classOf = (chars: CharSet): string => {
    const written = jsonChars(chars);
    if (written.length <= MAX_WRITTEN_CLASS) return written;
    const known = classes.get(written) ?? `${name}-c${classes.size}`;
    classes.set(written, known);
    return known;
  };
  const rules = states.map(({ ways, mayEnd }, index) => {
    const options = ways.map(({ chars, to }) => `${classOf(chars)} ${name}-${to}`);
    if (mayEnd) options.push(String.raw`"\""`);
    return `${name}-${index} ::= ${options.join(" | ")}`;
  });
  return [...rules, ...[...classes].map(([written, rule]) => `${rule} ::= ${written}`)];
}

const CONTROLS: CharSet = [[0, 0x1f]];
const QUOTE_AND_BACKSLASH: CharSet = [
  [0x22, 0x22],
  [0x5c, 0x5c],
];
const ESCAPED: CharSet = union(CONTROLS, QUOTE_AND_BACKSLASH);
const SHORT_ESCAPES = new Map([
  [0x08, "b"],
  [0x09, "t"],
  [0x0a, "n"],
  [0x0c, "f"],
  [0x0d, "r"],
  [0x22, String.raw`\"`],
  [0x5c, String.raw`\\`],
]);

/** A JSON string writes some characters as two, and some as six. */
function jsonChars(chars: CharSet): string {
  const plain = minus(chars, ESCAPED);
  const short: string[] = [];
  const long: string[] = [];
  for (const [from, to] of intersection(chars, ESCAPED)) {
    for (let char = from; char <= to; char += 1) {
      const escape = SHORT_ESCAPES.get(char);
      if (escape === undefined) long.push(`"u${char.toString(16).padStart(4, "0")}"`);
      else short.push(escape);
    }
  }
  const escapes = [...(short.length === 0 ? [] : [`[${short.join("")}]`]), ...long];
  const options = plain.length === 0 ? [] : [`[${plain.map(range).join("")}]`];
  if (escapes.length > 0) options.push(String.raw`"\\" (${escapes.join(" | ")})`);
  return options.length === 1 ? options.join("") : `(${options.join(" | ")})`;
}

function range([from, to]: CharSet[number]): string {
  return from === to ? classChar(from) : `${classChar(from)}-${classChar(to)}`;
}

/** As GBNF writes a character of a class by its number, if it is not a letter or digit. */
function classChar(char: number): string {
  const text = String.fromCodePoint(char);
  if (/^[A-Za-z0-9]$/.test(text)) return text;
  const hex = char.toString(16).padStart(8, "0");
  return char <= 0xff ? `\\x${hex.slice(6)}` : `\\U${hex}`;
}
