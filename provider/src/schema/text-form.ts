import { type CharSet, hasChar, HALVES, minus, union } from "./char-set.ts";
import { type Term, type Terms, TooLargeError } from "./text-terms.ts";

/**
 * What a text must look like, as an automaton that reads it character by character. It begins in its first state. In
 * each at most one way goes on with a character, and from each there is a way to the end, so that nobody who writes by
 * it gets stuck.
 */
export interface TextForm {
  readonly states: readonly FormState[];
}

interface FormState {
  readonly mayEnd: boolean;
  readonly ways: readonly { readonly chars: CharSet; readonly to: number }[];
}

/** Each becomes a rule of a grammar. */
const MAX_STATES = 2000;

/** @returns null if there is no such text. @throws TooLargeError */
export function formOf(term: Term, terms: Terms, maxStates = MAX_STATES): TextForm | null {
  const most = Math.min(maxStates, MAX_STATES);
  const found: Term[] = [term];
  const indexOf = new Map([[term, 0]]);
  const states: FormState[] = [];
  // Grows while it is walked.
  for (const state of found) {
    const ways = new Map<Term, [number, number][]>();
    const bounds = terms.bounds(state).filter((char) => char <= 0x10_ff_ff);
    for (const [index, from] of bounds.entries()) {
      const next = terms.after(state, from);
      if (next === terms.nothing) continue;
      const segment: [number, number] = [from, (bounds[index + 1] ?? 0x11_00_00) - 1];
      const known = ways.get(next);
      if (known === undefined) ways.set(next, [segment]);
      else known.push(segment);
      if (indexOf.has(next)) continue;
      if (found.length >= most) throw new TooLargeError("it needs too many states");
      indexOf.set(next, found.length);
      found.push(next);
    }
    const written = [...ways].map(([next, segments]) => ({
      chars: minus(union(segments), HALVES),
      to: indexOf.get(next) ?? 0,
    }));
    states.push({ mayEnd: state.takesEmpty, ways: written.filter(({ chars }) => chars.length > 0) });
  }
  return withoutDeadEnds(states);
}

function withoutDeadEnds(states: readonly FormState[]): TextForm | null {
  const comesFrom = states.map((): number[] => []);
  for (const [from, { ways }] of states.entries()) for (const { to } of ways) comesFrom[to]?.push(from);
  const alive = new Set([...states.keys()].filter((index) => states[index]?.mayEnd));
  for (const index of alive) for (const from of comesFrom[index] ?? []) alive.add(from);
  if (!alive.has(0)) return null;
  const kept = [...alive].sort((one, other) => one - other);
  const newIndex = new Map(kept.map((old, index) => [old, index]));
  return {
    states: kept.map((old) => ({
      mayEnd: states[old]?.mayEnd ?? false,
      ways: (states[old]?.ways ?? []).flatMap(({ chars, to }) => {
        const index = newIndex.get(to);
        return index === undefined ? [] : [{ chars, to: index }];
      }),
    })),
  };
}

export function hasForm(text: string, { states }: TextForm): boolean {
  let at = states[0];
  for (const char of text) {
    const way = at?.ways.find(({ chars }) => hasChar(chars, char.codePointAt(0) ?? 0));
    if (way === undefined) return false;
    at = states[way.to];
  }
  return at?.mayEnd ?? false;
}

/** One of the shortest texts of the form. */
export function shortestOf({ states }: TextForm): string {
  const texts = new Map([[0, ""]]);
  // Grows while it is walked, the nearest states first.
  for (const [index, text] of texts) {
    const state = states[index];
    if (state === undefined || state.mayEnd) return text;
    for (const { chars, to } of state.ways) {
      if (!texts.has(to)) texts.set(to, text + String.fromCodePoint(chars[0]?.[0] ?? 0));
    }
  }
  return "";
}
