/** Sets of characters, as code points: ranges in order that neither touch nor overlap. */
export type CharSet = readonly CharRange[];
type CharRange = readonly [from: number, to: number];

const LAST = 0x10_ff_ff;

export const EVERY_CHAR: CharSet = [[0, LAST]];
/** Those that are one unit of UTF-16 each, which is all that some clients count and match by. */
export const PLAIN_CHARS: CharSet = [[0, 0xff_ff]];
export const DIGITS: CharSet = [[0x30, 0x39]];
export const WORD_CHARS: CharSet = union(
  DIGITS,
  [
    [0x41, 0x5a],
    [0x5f, 0x5f],
  ],
  [[0x61, 0x7a]],
);
export const LINE_ENDS: CharSet = union([[0x0a, 0x0a]], [[0x0d, 0x0d]], [[0x20_28, 0x20_29]]);
export const SPACES: CharSet = charsThat((char) => /^\s$/.test(char), 0xff_ff);
/** The halves in which UTF-16 writes a character beyond 16 bits. Alone they are no text. */
export const HALVES: CharSet = [[0xd8_00, 0xdf_ff]];
/** Control characters that nobody means to write; a class has them only if it names them. */
export const ODD_CONTROLS: CharSet = union([[0, 7]], [[0x0b, 0x0b]], [[0x0e, 0x1f]], [[0x7f, 0x7f]], HALVES);

export function union(...sets: readonly CharSet[]): CharSet {
  const sorted = sets.flat().sort(([one], [other]) => one - other);
  const joined: [number, number][] = [];
  for (const [from, to] of sorted) {
    const last = joined.at(-1);
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else joined.push([from, to]);
  }
  return joined;
}

export function complement(set: CharSet): CharSet {
  const gaps: CharRange[] = [];
  let from = 0;
  for (const [start, end] of set) {
    if (start > from) gaps.push([from, start - 1]);
    from = end + 1;
  }
  if (from <= LAST) gaps.push([from, LAST]);
  return gaps;
}

export function intersection(one: CharSet, other: CharSet): CharSet {
  return complement(union(complement(one), complement(other)));
}

export function minus(set: CharSet, taken: CharSet): CharSet {
  return intersection(set, complement(taken));
}

export function hasChar(set: CharSet, char: number): boolean {
  let [low, high] = [0, set.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const [from, to] = set[middle] ?? [0, 0];
    if (char < from) high = middle;
    else if (char > to) low = middle + 1;
    else return true;
  }
  return false;
}

export function charsThat(isIn: (char: string) => boolean, last = LAST): CharSet {
  const ranges: [number, number][] = [];
  for (let char = 0; char <= last; char += 1) {
    if (!isIn(String.fromCodePoint(char))) continue;
    const range = ranges.at(-1);
    if (range !== undefined && range[1] === char - 1) range[1] = char;
    else ranges.push([char, char]);
  }
  return ranges;
}
