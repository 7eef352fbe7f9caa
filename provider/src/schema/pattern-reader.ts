import { type AST, RegExpParser, RegExpSyntaxError } from "@eslint-community/regexpp";

import {
  type CharSet,
  charsThat,
  complement,
  DIGITS,
  EVERY_CHAR,
  intersection,
  LINE_ENDS,
  minus,
  ODD_CONTROLS,
  PLAIN_CHARS,
  SPACES,
  union,
  WORD_CHARS,
} from "./char-set.ts";
import type { Term, Terms } from "./text-terms.ts";

/** A `pattern` of JSON Schema that is no regular expression of ECMAScript, or that is more than regular. */
export class UnreadablePatternError extends Error {
  override readonly name = "UnreadablePatternError";
}

const MAX_PATTERN_CHARS = 8192;
/** A group with a lookahead or an anchor inside is written out as often as it repeats; this often at most. */
const MAX_COPIES = 8;
/** Elements read in all, since copies of copies become many. */
const MAX_STEPS = 30_000;

/**
 * The texts in which a pattern matches somewhere. "Somewhere" is what JSON Schema means, so before and after it comes
 * anything, unless it says `^` and `$`.
 * @throws UnreadablePatternError
 */
export function readPattern(source: string, terms: Terms): Term {
  if (source.length > MAX_PATTERN_CHARS) throw new UnreadablePatternError("it is too long");
  return new PatternReader(source, terms).read();
}

/** Whether an element stands at the beginning of the text; null = it depends. */
type AtStart = boolean | null;

interface Place {
  readonly atStart: AtStart;
  /** Inside of a "not", where a class must have all its characters: one left out would be one more that may come. */
  readonly isExact: boolean;
}

/**
 * Reads from the right: each element is put before what comes after it, up to the end of the text. So a lookahead is
 * one more condition on what comes after, and `$` says that nothing does.
 */
class PatternReader {
  readonly #terms: Terms;
  readonly #pattern: AST.Pattern;
  /** What `.` may be, and a class that only says what is not in it. */
  readonly #usual: CharSet;
  readonly #usualOnce: CharSet;
  #steps = 0;

  constructor(source: string, terms: Terms) {
    this.#terms = terms;
    this.#pattern = parsePattern(source);
    this.#usual = complement(ODD_CONTROLS);
    // Without the flag "u" a character beyond 16 bits counts as two; where any number may come, that makes no
    // difference.
    const countsCodePoints = /\\[pP]\{|\\u\{/.test(source);
    this.#usualOnce = countsCodePoints ? this.#usual : intersection(this.#usual, PLAIN_CHARS);
  }

  read(): Term {
    const { alternatives } = this.#pattern;
    const usual = this.#terms.repeat(this.#terms.chars(this.#usual), 0, Infinity);
    const here = this.#choice(alternatives, usual, { atStart: true, isExact: false });
    const later = this.#choice(alternatives, usual, { atStart: false, isExact: false });
    if (here === later) return this.#terms.sequence(usual, here);
    const some = this.#terms.repeat(this.#terms.chars(this.#usual), 1, Infinity);
    return this.#terms.or(here, this.#terms.sequence(some, later));
  }

  #choice(alternatives: readonly AST.Alternative[], rest: Term, place: Place): Term {
    return this.#terms.or(...alternatives.map(({ elements }) => this.#sequence(elements, rest, place)));
  }

  #sequence(elements: readonly AST.Element[], rest: Term, place: Place): Term {
    let { atStart } = place;
    const places = elements.map((element): Place => {
      const here = { ...place, atStart };
      if (takesText(element)) atStart = false;
      else if (element.type !== "Assertion") atStart &&= null;
      return here;
    });
    return elements.reduceRight(
      (after, element, index) => this.#element(element, after, places[index] ?? place),
      rest,
    );
  }

  #element(element: AST.Element, rest: Term, place: Place): Term {
    this.#steps += 1;
    if (this.#steps > MAX_STEPS) throw new UnreadablePatternError("it is too large");
    switch (element.type) {
      case "Assertion":
        return this.#assertion(element, rest, place);
      case "Quantifier":
        return this.#quantifier(element, rest, place);
      case "Group":
        if (element.modifiers !== null) throw new UnreadablePatternError("it has flags inside");
        return this.#choice(element.alternatives, rest, place);
      case "CapturingGroup":
        return this.#choice(element.alternatives, rest, place);
      case "Character":
      case "CharacterSet":
      case "CharacterClass":
        return this.#terms.sequence(this.#terms.chars(this.#chars(element, place, false)), rest);
      case "Backreference":
        throw new UnreadablePatternError("it refers back to a group");
      case "ExpressionCharacterClass":
        throw new UnreadablePatternError("it computes with classes");
    }
  }

  #assertion(assertion: AST.Assertion, rest: Term, place: Place): Term {
    switch (assertion.kind) {
      case "start":
        if (place.atStart === null)
          throw new UnreadablePatternError('it has "^" after what may be there or not');
        return place.atStart ? rest : this.#terms.nothing;
      case "end":
        return this.#terms.and(rest, this.#terms.empty);
      case "lookahead": {
        const { negate, alternatives } = assertion;
        const inner = { ...place, isExact: place.isExact || negate };
        const ahead = this.#choice(alternatives, this.#terms.anything, inner);
        return this.#terms.and(negate ? this.#terms.not(ahead) : ahead, rest);
      }
      case "lookbehind":
        throw new UnreadablePatternError("it looks back");
      case "word":
        throw new UnreadablePatternError('it has "\\b" or "\\B"');
    }
  }

  #quantifier({ element, min, max }: AST.Quantifier, rest: Term, place: Place): Term {
    const inner = onlyPart(element);
    if (inner.type === "CharacterSet" || inner.type === "CharacterClass") {
      const one = this.#terms.chars(this.#chars(inner, place, max === Infinity));
      return this.#terms.sequence(this.#terms.repeat(one, min, max), rest);
    }
    const again = { ...place, atStart: place.atStart === false ? false : null };
    if (!hasAssertion(inner)) {
      const one = this.#element(inner, this.#terms.empty, again);
      return this.#terms.sequence(this.#terms.repeat(one, min, max), rest);
    }
    if (max > MAX_COPIES) throw new UnreadablePatternError("it repeats a group with an anchor or lookahead");
    let written = rest;
    for (let copy = max; copy >= 1; copy -= 1) {
      const one = this.#element(inner, written, copy === 1 ? place : again);
      written = copy > min ? this.#terms.or(rest, one) : one;
    }
    return written;
  }

  #chars(element: AST.Element, { isExact }: Place, isAnyNumber: boolean): CharSet {
    if (isExact) return charsOf(element, EVERY_CHAR);
    return charsOf(element, isAnyNumber ? this.#usual : this.#usualOnce);
  }
}

function parsePattern(source: string): AST.Pattern {
  const parser = new RegExpParser();
  // Generators write patterns with or without the flag in mind, and most mean the same with both.
  for (const unicode of [true, false]) {
    try {
      return parser.parsePattern(source, 0, source.length, { unicode });
    } catch (error) {
      if (!(error instanceof RegExpSyntaxError)) throw error;
    }
  }
  throw new UnreadablePatternError("it is no regular expression");
}

/** Takes off groups around a single element. */
function onlyPart(element: AST.QuantifiableElement): AST.QuantifiableElement {
  if (element.type !== "Group" && element.type !== "CapturingGroup") return element;
  const [alternative, ...others] = element.alternatives;
  const [only, ...more] = alternative?.elements ?? [];
  if (others.length > 0 || more.length > 0 || only === undefined) return element;
  if (only.type === "Quantifier" || only.type === "Assertion") return element;
  return element.type === "Group" && element.modifiers !== null ? element : onlyPart(only);
}

/** Whether an element cannot be passed without a character. */
function takesText(element: AST.Element): boolean {
  switch (element.type) {
    case "Assertion":
    case "Backreference":
      return false;
    case "Quantifier":
      return element.min > 0 && takesText(element.element);
    case "Group":
    case "CapturingGroup":
      return element.alternatives.every(({ elements }) => elements.some(takesText));
    case "Character":
    case "CharacterClass":
    case "CharacterSet":
    case "ExpressionCharacterClass":
      return true;
  }
}

function hasAssertion(element: AST.Element): boolean {
  if (element.type === "Assertion") return true;
  if (element.type === "Quantifier") return hasAssertion(element.element);
  if (element.type !== "Group" && element.type !== "CapturingGroup") return false;
  return element.alternatives.some(({ elements }) => elements.some(hasAssertion));
}

type ClassPart = AST.Element | AST.CharacterClassElement;

/** What an element that stands for one character may be, if what it does not name may be one of the `usual`. */
function charsOf(element: ClassPart, usual: CharSet): CharSet {
  if (element.type === "Character") return [[element.value, element.value]];
  if (element.type === "CharacterClassRange") return [[element.min.value, element.max.value]];
  if (element.type === "CharacterSet") {
    if (element.kind === "any") return minus(usual, LINE_ENDS);
    const named = escapedChars(element);
    return element.negate ? minus(usual, named) : named;
  }
  if (element.type !== "CharacterClass") throw new UnreadablePatternError("it computes with classes");
  return element.negate
    ? minus(usual, union(...element.elements.map((part) => charsOf(part, EVERY_CHAR))))
    : union(...element.elements.map((part) => charsOf(part, usual)));
}

function escapedChars(set: Exclude<AST.CharacterSet, AST.AnyCharacterSet>): CharSet {
  switch (set.kind) {
    case "digit":
      return DIGITS;
    case "space":
      return SPACES;
    case "word":
      return WORD_CHARS;
    case "property":
      return charsWithProperty(set.value === null ? set.key : `${set.key}=${set.value}`);
  }
}

const propertySets = new Map<string, CharSet>();

function charsWithProperty(name: string): CharSet {
  let set = propertySets.get(name);
  if (set === undefined) {
    const property = new RegExp(`^\\p{${name}}$`, "u");
    set = charsThat((char) => property.test(char));
    propertySets.set(name, set);
  }
  return set;
}
