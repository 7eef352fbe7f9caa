/**
 * Lark grammars as regular expressions of ECMAScript. That goes for grammars whose rules do not refer to themselves:
 * each name is replaced by what it stands for. Coding agents describe the text of a patch so.
 */

/** A grammar that is none, or that is more than a regular expression can say. */
export class LarkError extends Error {
  override readonly name = "LarkError";
}

/** What engines read at most. */
const MAX_PATTERN_CHARS = 8192;
const MAX_DEPTH = 64;
const MAX_DEFINITION_CHARS = 16_384;
/** Where a comment begins is found in a time that grows with the square of the line. */
const MAX_LINE_CHARS = 1024;

const TOKEN =
  /\s*(?:(?<text>"(?:[^"\\\n]|\\.)*")(?<textFlag>i?)|\/(?<regex>(?:[^/\\\n]|\\.)+)\/(?<regexFlags>[a-z]*)|(?<name>_?[A-Za-z][A-Za-z0-9_]*)|(?<sign>->|\.\.|[()[\]|?*+~{},]|\d+))/uy;
const RULE = /^[?!]{0,2}(?<name>_?[A-Za-z][A-Za-z0-9_]*)(?:\.-?\d+)?\s*:(?<body>.*)$/s;
const IMPORT = /^%import\s+common\.(?<name>[A-Z_]+)(?:\s*->\s*(?<alias>_?[A-Za-z][A-Za-z0-9_]*))?$/;

const COMMON: Readonly<Record<string, string>> = {
  CR: String.raw`\r`,
  LF: String.raw`\n`,
  NEWLINE: String.raw`(?:\r?\n)+`,
  WS: String.raw`[ \t\f\r\n]+`,
  WS_INLINE: String.raw`[ \t]+`,
  DIGIT: "[0-9]",
  HEXDIGIT: "[a-fA-F0-9]",
  INT: "[0-9]+",
  SIGNED_INT: "[+-]?[0-9]+",
  LCASE_LETTER: "[a-z]",
  UCASE_LETTER: "[A-Z]",
  LETTER: "[A-Za-z]",
  WORD: "[A-Za-z]+",
  CNAME: "[A-Za-z_][A-Za-z0-9_]*",
};

/** @returns a pattern for the whole text, without anchors. @throws LarkError */
export function larkPattern(definition: string): string {
  if (definition.length > MAX_DEFINITION_CHARS) throw new LarkError("it is too large");
  const grammar = readRules(definition);
  if (!grammar.bodies.has("start")) throw new LarkError('it has no rule "start"');
  return patternOf("start", grammar, []);
}

interface Grammar {
  readonly bodies: ReadonlyMap<string, string>;
  /** What was imported, and what was found out. */
  readonly patterns: Map<string, string>;
}

function readRules(definition: string): Grammar {
  const bodies = new Map<string, string>();
  const patterns = new Map<string, string>();
  for (const statement of statementsOf(definition)) {
    const imported = IMPORT.exec(statement)?.groups;
    const rule = RULE.exec(statement)?.groups;
    if (imported !== undefined) {
      const pattern = COMMON[imported["name"] ?? ""];
      if (pattern === undefined) throw new LarkError(`it imports common.${imported["name"]}`);
      patterns.set(imported["alias"] ?? imported["name"] ?? "", pattern);
    } else if (rule?.["name"] !== undefined) {
      if (bodies.has(rule["name"])) throw new LarkError(`it has two rules "${rule["name"]}"`);
      bodies.set(rule["name"], rule["body"] ?? "");
    } else {
      throw new LarkError(`it has "${statement.slice(0, 40)}", which is not supported`);
    }
  }
  return { bodies, patterns };
}

/** Without comments; a line that begins with a bar goes on with the one before. */
function statementsOf(definition: string): string[] {
  const statements: string[] = [];
  for (const line of definition.split("\n")) {
    const text = withoutComment(line).trim();
    if (text === "") continue;
    const last = statements.pop();
    if (last === undefined) statements.push(text);
    else if (/^\s*\|/.test(text) || /^\s/.test(line)) statements.push(`${last} ${text}`);
    else statements.push(last, text);
  }
  return statements;
}

const BEFORE_COMMENT = /^(?:"(?:[^"\\]|\\.)*"|\/(?!\/)(?:[^/\\]|\\.)+\/|(?!\/\/)[^"])*/;

function withoutComment(line: string): string {
  if (line.length > MAX_LINE_CHARS) throw new LarkError("it has a line that is too long");
  const before = BEFORE_COMMENT.exec(line)?.[0] ?? "";
  if (before === line || line.startsWith("//", before.length)) return before;
  throw new LarkError("it has a text without an end");
}

function patternOf(name: string, grammar: Grammar, above: readonly string[]): string {
  const known = grammar.patterns.get(name);
  if (known !== undefined) return known;
  const body = grammar.bodies.get(name);
  if (body === undefined) throw new LarkError(`it has no rule "${name}"`);
  if (above.includes(name)) throw new LarkError(`its rule "${name}" refers to itself`);
  if (above.length > MAX_DEPTH) throw new LarkError("it is nested too deeply");
  const pattern = new BodyReader(body, (inner) => patternOf(inner, grammar, [...above, name])).read();
  if (pattern.length > MAX_PATTERN_CHARS) throw new LarkError("it is too large");
  grammar.patterns.set(name, pattern);
  return pattern;
}

type Token = Readonly<Record<string, string | undefined>>;

/** Reads what stands behind the colon of a rule. */
class BodyReader {
  readonly #tokens: readonly Token[];
  readonly #patternOf: (name: string) => string;
  #at = 0;

  constructor(body: string, resolve: (name: string) => string) {
    this.#tokens = tokensOf(body);
    this.#patternOf = resolve;
  }

  read(): string {
    const pattern = this.#choice(0);
    if (this.#at < this.#tokens.length) throw new LarkError(`it has a "${this.#sign()}" too many`);
    return pattern;
  }

  #choice(depth: number): string {
    if (depth > MAX_DEPTH) throw new LarkError("it is nested too deeply");
    let options = this.#sequence(depth);
    if (this.#sign() !== "|") return options;
    while (this.#takes("|")) {
      options += `|${this.#sequence(depth)}`;
      if (options.length > MAX_PATTERN_CHARS) throw new LarkError("it is too large");
    }
    return `(?:${options})`;
  }

  #sequence(depth: number): string {
    let pattern = "";
    while (this.#at < this.#tokens.length && !/^[)\]|]$/.test(this.#sign())) {
      // A name for the tree, which nobody makes here.
      if (this.#takes("->")) this.#at += 1;
      else pattern += this.#repeated(depth);
      if (pattern.length > MAX_PATTERN_CHARS) throw new LarkError("it is too large");
    }
    return pattern;
  }

  #repeated(depth: number): string {
    const one = this.#one(depth);
    const sign = this.#sign();
    if (sign === "?" || sign === "*" || sign === "+") {
      this.#at += 1;
      return `(?:${one})${sign}`;
    }
    if (!this.#takes("~")) return one;
    const least = this.#number();
    return this.#takes("..") ? `(?:${one}){${least},${this.#number()}}` : `(?:${one}){${least}}`;
  }

  #one(depth: number): string {
    if (this.#takes("(")) return this.#closed(")", depth);
    if (this.#takes("[")) return `(?:${this.#closed("]", depth)})?`;
    const { text, textFlag, regex, regexFlags, name } = this.#tokens[this.#at] ?? {};
    if (text !== undefined) {
      if (textFlag !== "") throw new LarkError(`it has the text ${text} in upper or lower case`);
      this.#at += 1;
      return this.#takes("..") ? this.#range(text) : escaped(textOf(text));
    }
    if (regex !== undefined) {
      if (regexFlags !== "") throw new LarkError(`it has a regular expression with "${regexFlags}"`);
      this.#at += 1;
      return `(?:${regex})`;
    }
    if (name === undefined) throw new LarkError(`it has "${this.#sign()}" where something should stand`);
    this.#at += 1;
    if (this.#sign() === "{") throw new LarkError("it has templates");
    return this.#patternOf(name);
  }

  #closed(end: string, depth: number): string {
    const inner = this.#choice(depth + 1);
    if (!this.#takes(end)) throw new LarkError(`it lacks a "${end}"`);
    return inner;
  }

  #range(from: string): string {
    const to = this.#tokens[this.#at]?.["text"] ?? '""';
    this.#at += 1;
    const ends = [textOf(from), textOf(to)];
    if (!ends.every((end) => /^.$/su.test(end)))
      throw new LarkError("it has a range of other than characters");
    return `[${ends.map((end) => unicodeEscape(end)).join("-")}]`;
  }

  #number(): string {
    const sign = this.#sign();
    if (!/^\d+$/.test(sign)) throw new LarkError('it has a "~" without a number');
    this.#at += 1;
    return sign;
  }

  #takes(sign: string): boolean {
    if (this.#sign() !== sign) return false;
    this.#at += 1;
    return true;
  }

  #sign(): string {
    return this.#tokens[this.#at]?.["sign"] ?? "";
  }
}

function tokensOf(body: string): Token[] {
  const tokens: Token[] = [];
  const text = body.trimEnd();
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex;
    const groups = TOKEN.exec(text)?.groups;
    if (groups === undefined)
      throw new LarkError(`it has "${text.slice(at, at + 20)}", which is not supported`);
    tokens.push(groups);
  }
  return tokens;
}

function textOf(quoted: string): string {
  try {
    const text: unknown = JSON.parse(quoted.replaceAll("\t", String.raw`\t`));
    if (typeof text === "string") return text;
  } catch {
    // Said below: Lark knows escapes that JSON does not.
  }
  throw new LarkError(`it has the text ${quoted}, whose escapes are not supported`);
}

function escaped(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`).replaceAll(/[^ -~]/g, unicodeEscape);
}

/** By units of 16 bits, as a pattern with or without the flag "u" takes them. */
function unicodeEscape(text: string): string {
  return text
    .split("")
    .map((unit) => String.raw`\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");
}
