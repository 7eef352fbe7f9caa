/**
 * Values in order. They are kept in short pieces, so that one comes or goes without thousands of others being moved: of
 * 2,000 in one list that took longer than all else that a pool does for a chat.
 */
export class SortedList<Value> {
  readonly #compare: (a: Value, b: Value) => number;
  readonly #pieces: Value[][] = [];

  /** @param compare below 0 if `a` comes first, 0 only for one and the same. */
  constructor(compare: (a: Value, b: Value) => number) {
    this.#compare = compare;
  }

  /** The values, one piece after the other. */
  get pieces(): Iterable<readonly Value[]> {
    return this.#pieces;
  }

  add(value: Value): void {
    const at = this.#pieceOf(value);
    const piece = this.#pieces[at] ?? this.#pieces.at(-1);
    if (piece === undefined) {
      this.#pieces.push([value]);
      return;
    }
    piece.splice(this.#placeIn(piece, value), 0, value);
    if (piece.length <= PIECE_MAX) return;
    this.#pieces.splice(this.#pieces.indexOf(piece) + 1, 0, piece.splice(PIECE_MAX / 2));
  }

  /** Does nothing if it is not there. */
  remove(value: Value): void {
    const at = this.#pieceOf(value);
    const piece = this.#pieces[at] ?? [];
    const place = this.#placeIn(piece, value);
    const there = piece[place];
    if (there === undefined || this.#compare(there, value) !== 0) return;
    piece.splice(place, 1);
    if (piece.length === 0) this.#pieces.splice(at, 1);
  }

  /** The index of the piece in which it is, or of the first that comes after it. */
  #pieceOf(value: Value): number {
    return firstIndex(this.#pieces, (piece) => {
      const last = piece.at(-1);
      return last !== undefined && this.#compare(last, value) >= 0;
    });
  }

  #placeIn(piece: readonly Value[], value: Value): number {
    return firstIndex(piece, (there) => this.#compare(there, value) >= 0);
  }
}

const PIECE_MAX = 64;

/** The first index whose value is so, where all before are not and all after are; the length if there is none. */
function firstIndex<Value>(values: readonly Value[], isSo: (value: Value) => boolean): number {
  let from = 0;
  let to = values.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    const value = values[middle];
    if (value !== undefined && isSo(value)) to = middle;
    else from = middle + 1;
  }
  return from;
}
