import { type CharSet, EVERY_CHAR, hasChar, intersection, minus, union } from "./char-set.ts";

/**
 * What texts may look like, as terms of an algebra: a regular expression that also knows "and" and "not". A term's
 * derivative by a character is what may come after it (Brzozowski, 1964), and so terms are the states of an automaton
 * that reads a text from the left. Equal terms are one object, so that the automaton is finite.
 */
export type Term = { readonly id: number; readonly takesEmpty: boolean } & TermShape;

type TermShape =
  | { readonly kind: "chars"; readonly set: CharSet }
  | { readonly kind: "empty" }
  | { readonly kind: "then"; readonly first: Term; readonly rest: Term }
  | { readonly kind: "repeat"; readonly of: Term; readonly least: number; readonly most: number }
  | { readonly kind: "or" | "and"; readonly parts: readonly Term[] }
  | { readonly kind: "not"; readonly of: Term };

/** A pattern whose automaton is too large to build, or not worth its price. */
export class TooLargeError extends Error {
  override readonly name = "TooLargeError";
}

/** Work on one automaton, counted in terms and their parts. */
const MAX_WORK = 200_000;
/** Enough for the terms that are there from the beginning. */
const LEAST_WORK = 100;

export class Terms {
  readonly #known = new Map<string, Term>();
  readonly #derivatives = new Map<number, Term>();
  readonly #starts = new Map<Term, readonly number[]>();
  readonly #alphabets = new Map<Term, CharSet>();
  readonly #within = new Map<string, boolean>();
  readonly #maxWork: number;
  #work = 0;

  readonly nothing: Term;
  readonly empty: Term;
  readonly anything: Term;

  constructor(maxWork: number) {
    this.#maxWork = Math.max(LEAST_WORK, Math.min(maxWork, MAX_WORK));
    this.nothing = this.chars([]);
    this.empty = this.#make("e", true, { kind: "empty" });
    this.anything = this.repeat(this.chars(EVERY_CHAR), 0, Infinity);
  }

  /** The work done so far, whether or not it came to anything. */
  get work(): number {
    return this.#work;
  }

  chars(set: CharSet): Term {
    return this.#make(`c${set.join(";")}`, false, { kind: "chars", set });
  }

  sequence(first: Term, rest: Term): Term {
    if (first === this.nothing || rest === this.nothing) return this.nothing;
    if (first === this.empty) return rest;
    if (rest === this.empty) return first;
    if (first.kind === "then") return this.sequence(first.first, this.sequence(first.rest, rest));
    const takesEmpty = first.takesEmpty && rest.takesEmpty;
    return this.#make(`t${first.id},${rest.id}`, takesEmpty, { kind: "then", first, rest });
  }

  repeat(of: Term, least: number, most: number): Term {
    if (least > most) return this.nothing;
    if (most === 0 || of === this.empty) return this.empty;
    if (of === this.nothing) return least === 0 ? this.empty : this.nothing;
    if (least === 1 && most === 1) return of;
    const needed = of.takesEmpty ? 0 : least;
    const shape = { kind: "repeat", of, least: needed, most } as const;
    return this.#make(`r${of.id},${needed},${most}`, needed === 0, shape);
  }

  or(...given: readonly Term[]): Term {
    const flat = given.flatMap((term) => (term.kind === "or" ? term.parts : [term]));
    if (flat.includes(this.anything)) return this.anything;
    const set = union(...flat.map((term) => (term.kind === "chars" ? term.set : [])));
    const wide = flat.filter(isAnyNumberOfChars);
    const others = flat.filter(
      (term) => term.kind !== "chars" && !wide.some((other) => other !== term && this.#isWithin(term, other)),
    );
    const parts = sorted(set.length === 0 ? others : [this.chars(set), ...others]);
    if (parts.length < 2) return parts[0] ?? this.nothing;
    this.#work += parts.length;
    const takesEmpty = parts.some((part) => part.takesEmpty);
    return this.#make(`o${parts.map(({ id }) => id).join(",")}`, takesEmpty, { kind: "or", parts });
  }

  and(...given: readonly Term[]): Term {
    const flat = given.flatMap((term) => (term.kind === "and" ? term.parts : [term]));
    const parts = sorted(flat.filter((term) => term !== this.anything));
    if (parts.includes(this.nothing)) return this.nothing;
    const takesEmpty = parts.every((part) => part.takesEmpty);
    if (parts.includes(this.empty)) return takesEmpty ? this.empty : this.nothing;
    if (parts.length < 2) return parts[0] ?? this.anything;
    this.#work += parts.length;
    return this.#make(`a${parts.map(({ id }) => id).join(",")}`, takesEmpty, { kind: "and", parts });
  }

  not(of: Term): Term {
    if (of.kind === "not") return of.of;
    if (of === this.nothing) return this.anything;
    if (of === this.anything) return this.nothing;
    return this.#make(`n${of.id}`, !of.takesEmpty, { kind: "not", of });
  }

  /** What may follow a character at the beginning of such a text. */
  after(term: Term, char: number): Term {
    const key = term.id * 0x11_00_00 + char;
    const known = this.#derivatives.get(key);
    if (known !== undefined) return known;
    this.#work += 1;
    const derivative = this.#derive(term, char);
    this.#derivatives.set(key, derivative);
    return derivative;
  }

  #derive(term: Term, char: number): Term {
    switch (term.kind) {
      case "empty":
        return this.nothing;
      case "chars":
        return hasChar(term.set, char) ? this.empty : this.nothing;
      case "then": {
        const within = this.sequence(this.after(term.first, char), term.rest);
        return term.first.takesEmpty ? this.or(within, this.after(term.rest, char)) : within;
      }
      case "repeat": {
        const { of, least, most } = term;
        return this.sequence(this.after(of, char), this.repeat(of, Math.max(0, least - 1), most - 1));
      }
      case "or":
        return this.or(...term.parts.map((part) => this.after(part, char)));
      case "and":
        return this.and(...term.parts.map((part) => this.after(part, char)));
      case "not":
        return this.not(this.after(term.of, char));
    }
  }

  /** The characters at which what may follow changes: between two of them all are alike. */
  bounds(term: Term): readonly number[] {
    const known = this.#starts.get(term);
    if (known !== undefined) return known;
    const found = [...new Set([0, ...this.#findBounds(term)])].sort((one, other) => one - other);
    this.#work += found.length;
    this.#starts.set(term, found);
    return found;
  }

  #findBounds(term: Term): readonly number[] {
    switch (term.kind) {
      case "empty":
        return [];
      case "chars":
        return term.set.flatMap(([from, to]) => [from, to + 1]);
      case "then":
        return term.first.takesEmpty
          ? [...this.bounds(term.first), ...this.bounds(term.rest)]
          : this.bounds(term.first);
      case "repeat":
      case "not":
        return this.bounds(term.of);
      case "or":
      case "and":
        this.#work += term.parts.length;
        return term.parts.flatMap((part) => this.bounds(part));
    }
  }

  /** Sees the plainest case only: what a pattern that may go on with anything becomes once it has matched. */
  #isWithin(term: Term, other: AnyNumberOfChars): boolean {
    const key = `${term.id},${other.id}`;
    const known = this.#within.get(key);
    if (known !== undefined) return known;
    const isWithin = minus(this.#alphabet(term), other.of.set).length === 0;
    this.#within.set(key, isWithin);
    return isWithin;
  }

  /** Has all characters of such texts, and may have more. */
  #alphabet(term: Term): CharSet {
    const known = this.#alphabets.get(term);
    if (known !== undefined) return known;
    const found = this.#findAlphabet(term);
    this.#alphabets.set(term, found);
    return found;
  }

  #findAlphabet(term: Term): CharSet {
    switch (term.kind) {
      case "empty":
        return [];
      case "chars":
        return term.set;
      case "then":
        return union(this.#alphabet(term.first), this.#alphabet(term.rest));
      case "repeat":
        return this.#alphabet(term.of);
      case "or":
        return union(...term.parts.map((part) => this.#alphabet(part)));
      case "and":
        return term.parts.map((part) => this.#alphabet(part)).reduce(intersection, EVERY_CHAR);
      case "not":
        return EVERY_CHAR;
    }
  }

  #make(key: string, takesEmpty: boolean, shape: TermShape): Term {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    this.#work += 1;
    if (this.#work > this.#maxWork) throw new TooLargeError("it takes too long to understand");
    const term = { id: this.#known.size, takesEmpty, ...shape };
    this.#known.set(key, term);
    return term;
  }
}

type AnyNumberOfChars = Term & { readonly kind: "repeat"; readonly of: Term & { readonly kind: "chars" } };

function isAnyNumberOfChars(term: Term): term is AnyNumberOfChars {
  return term.kind === "repeat" && term.of.kind === "chars" && term.least === 0 && term.most === Infinity;
}

function sorted(terms: readonly Term[]): Term[] {
  return [...new Set(terms)].sort((one, other) => one.id - other.id);
}
