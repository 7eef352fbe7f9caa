import { regexes } from "zod";

import { EVERY_CHAR, PLAIN_CHARS } from "./char-set.ts";
import { patternOfFormat, type StringFormat } from "./format-patterns.ts";
import { readPattern, UnreadablePatternError } from "./pattern-reader.ts";
import { formOf, type TextForm } from "./text-form.ts";
import { type Term, Terms, TooLargeError } from "./text-terms.ts";

/**
 * What a JSON Schema asks of a string: its patterns, its format and its lengths, joined into the one form that a grammar
 * holds. What cannot be joined, because it is no regular language or takes too long, is named with the reason.
 */

export interface StringKeywords {
  readonly patterns: readonly string[];
  readonly format: StringFormat | null;
  readonly minLength: number;
  readonly maxLength: number | null;
}

export interface FoundForm {
  /** The form in which all keywords hold that are not in `notHeld`; null if there are none, or only lengths. */
  readonly form: TextForm | null;
  readonly notHeld: readonly { readonly keyword: string; readonly reason: string }[];
}

interface Condition {
  readonly keyword: string;
  /**
   * In the order in which they are tried. The first is what the keyword asks; the others ask for more, which may take
   * fewer states.
   */
  readonly terms: readonly MakeTerm[];
}

type MakeTerm = (terms: Terms) => Term;

/** Work on all forms of a request together; it takes about a second. */
const MAX_WORK = 600_000;
/** States of all forms together. Each becomes a rule, and llama.cpp reads so many in less than 100 ms. */
const MAX_STATES = 6000;

/** Tried in place of a longer `maxLength` that would take too many states together with a pattern. */
const SHORTER_LENGTHS = [250, 100];

/** What Zod writes beside a format, where every text of the format matches and both together are too large. */
const IMPLIED: ReadonlyMap<StringFormat, string> = new Map([["hostname", regexes.hostname.source]]);

/** Clients send the same schema with each request. */
const remembered = new Map<string, FoundForm>();
const MAX_REMEMBERED = 64;

function remember(key: string, found: FoundForm): void {
  remembered.delete(key);
  remembered.set(key, found);
  const [oldest] = remembered.keys();
  if (remembered.size > MAX_REMEMBERED && oldest !== undefined) remembered.delete(oldest);
}

/** Finds the forms of the strings of one request, whose schemas share its limits. */
export class StringForms {
  readonly #found = new Map<string, FoundForm>();
  #workLeft = MAX_WORK;
  #statesLeft = MAX_STATES;

  find(keywords: StringKeywords): FoundForm {
    const key = JSON.stringify(keywords);
    let found = this.#found.get(key);
    if (found === undefined) {
      found = this.#recall(key) ?? this.#find(conditionsOf(keywords));
      this.#found.set(key, found);
      this.#statesLeft -= found.form?.states.length ?? 0;
      if (found.form !== null && found.notHeld.length === 0) remember(key, found);
    }
    return found;
  }

  #recall(key: string): FoundForm | undefined {
    const known = remembered.get(key);
    return (known?.form?.states.length ?? 0) > this.#statesLeft ? undefined : known;
  }

  #find(conditions: readonly Condition[]): FoundForm {
    if (conditions.every(({ keyword }) => keyword.endsWith("Length"))) return { form: null, notHeld: [] };
    const all = this.#build(conditions.flatMap(({ terms }) => terms.slice(0, 1)));
    if (typeof all !== "string") return { form: all, notHeld: [] };
    const held: MakeTerm[] = [];
    const notHeld: { keyword: string; reason: string }[] = [];
    let form: TextForm | null = null;
    for (const condition of conditions) {
      let more: TextForm | string = "";
      for (const term of condition.terms) {
        more = this.#build([...held, term]);
        if (typeof more === "string") continue;
        held.push(term);
        form = more;
        break;
      }
      if (typeof more === "string") notHeld.push({ keyword: condition.keyword, reason: more });
    }
    return { form, notHeld };
  }

  /** @returns the form, or why there is none */
  #build(conditions: readonly MakeTerm[]): TextForm | string {
    if (this.#workLeft <= 0) return "the strings before it took too long to understand";
    const terms = new Terms(this.#workLeft);
    try {
      const form = formOf(terms.and(...conditions.map((make) => make(terms))), terms, this.#statesLeft);
      return form ?? "no text would follow it";
    } catch (error) {
      if (error instanceof UnreadablePatternError || error instanceof TooLargeError) return error.message;
      // Of the stack, which nested groups use up.
      if (error instanceof RangeError) return "it is nested too deeply";
      throw error;
    } finally {
      this.#workLeft -= terms.work;
    }
  }
}

function conditionsOf({ patterns, format, minLength, maxLength }: StringKeywords): Condition[] {
  const conditions: Condition[] = patterns
    .filter((pattern) => format === null || IMPLIED.get(format) !== pattern)
    .map((pattern) => ({ keyword: "pattern", terms: [(terms) => readPattern(pattern, terms)] }));
  if (format !== null) {
    const pattern = patternOfFormat(format);
    conditions.push({ keyword: "format", terms: [(terms) => readPattern(pattern, terms)] });
  }
  if (maxLength !== null) {
    const shorter = SHORTER_LENGTHS.filter((length) => minLength <= length && length < maxLength);
    conditions.push({
      keyword: "maxLength",
      terms: [maxLength, ...shorter].map((most) => (terms) => {
        return terms.repeat(terms.chars(PLAIN_CHARS), minLength, most);
      }),
    });
  } else if (minLength > 0) {
    const term = (terms: Terms): Term => terms.repeat(terms.chars(EVERY_CHAR), minLength, Infinity);
    conditions.push({ keyword: "minLength", terms: [term] });
  }
  return conditions;
}
