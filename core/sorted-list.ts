/**
 * A sorted list in chunks, so that inserting or removing a value does not move thousands of others: with 2,000 values in one
 * array that took longer than everything else that a pool does for a chat.
 */
export class SortedList<Value> {
  readonly #compare: (a: Value, b: Value) => number;
  readonly #pieces: Value[][] = [];

  /** @param compare negative if `a` comes first, 0 only for the same value. */
  constructor(compare: (a: Value, b: Value) => number) {
    this.#compare = compare;
  }

  /** The values, chunk by chunk. */
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

  /** Does nothing if the value is not in the list. */
  remove(value: Value): void {
    const at = this.#pieceOf(value);
    const piece = this.#pieces[at] ?? [];
    const place = this.#placeIn(piece, value);
    const there = piece[place];
    if (there === undefined || this.#compare(there, value) !== 0) return;
    piece.splice(place, 1);
    if (piece.length === 0) this.#pieces.splice(at, 1);
  }

  /** Index of the chunk that contains the value, or of the first one after it. */
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

/** Binary search: the first index whose value satisfies the condition, given that all later ones do; else the length. */
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
