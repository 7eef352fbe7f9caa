/**
 * GBNF for numbers between two bounds. A grammar reads from the left, so a range is a choice of digits: up to the first
 * one that differs from its bound the rest is bound too, and after it anything goes.
 */

export interface NumberRange {
  readonly integer: boolean;
  /** Whole numbers; null = no bound. */
  readonly from: number | null;
  readonly to: number | null;
  /** The bound itself is not in it. Of an integer's range it always is. */
  readonly afterFrom: boolean;
  readonly beforeTo: boolean;
}

/** What the grammar writes at most, in digits before the point. */
export const LARGEST_INTEGER = 999_999_999_999_999;

/** A bounded number is written without an exponent. The rules `natural` and `fraction` must be there. */
export function numberRule(range: NumberRange): string {
  const { integer, from, to } = range;
  if (from === null && to === null) return integer ? '"-"? natural' : '"-"? natural fraction';
  const low = from ?? -LARGEST_INTEGER;
  const high = to ?? LARGEST_INTEGER;
  const options: string[] = [];
  if (low < 0) {
    const negative = {
      least: Math.max(0, -high),
      most: -low,
      // Without the sign, the bounds change places.
      afterLeast: high <= 0 && range.beforeTo,
      beforeMost: range.afterFrom,
    };
    options.push(...magnitudes(integer, negative).map((rule) => `"-" ${rule}`));
  }
  if (high >= 0) {
    const positive = {
      least: Math.max(0, low),
      most: high,
      afterLeast: low >= 0 && range.afterFrom,
      beforeMost: range.beforeTo,
    };
    options.push(...magnitudes(integer, positive));
  }
  return `(${options.join(" | ")})`;
}

interface Magnitudes {
  readonly least: number;
  readonly most: number;
  readonly afterLeast: boolean;
  readonly beforeMost: boolean;
}

const SOME_DIGITS = '("." [0-9]{1,15})?';
const ZEROS = '("." "0"{1,15})?';
const NOT_ONLY_ZEROS = '"." [0-9]{0,14} [1-9]';

function magnitudes(integer: boolean, { least, most, afterLeast, beforeMost }: Magnitudes): string[] {
  if (integer) return [whole(least, most)];
  if (least === most) return afterLeast || beforeMost ? [] : [`"${least}" ${ZEROS}`];
  const options: string[] = [];
  if (afterLeast) options.push(`"${least}" ${NOT_ONLY_ZEROS}`);
  const first = afterLeast ? least + 1 : least;
  if (first < most) options.push(`${whole(first, most - 1)} ${SOME_DIGITS}`);
  if (!beforeMost) options.push(`"${most}" ${ZEROS}`);
  return options;
}

/** The whole numbers between two that are not negative, in as many digits as they need. */
function whole(least: number, most: number): string {
  const options: string[] = [];
  for (let digits = String(least).length; digits <= String(most).length; digits += 1) {
    const smallest = digits === 1 ? 0 : 10 ** (digits - 1);
    options.push(between(String(Math.max(least, smallest)), String(Math.min(most, 10 ** digits - 1))));
  }
  return `(${options.join(" | ")})`;
}

/** The texts of digits from one to another that is equally long. */
function between(least: string, most: string): string {
  const [low, high] = [least.charAt(0), most.charAt(0)];
  if (low === "") return '""';
  const [restLow, restHigh] = [least.slice(1), most.slice(1)];
  if (low === high) return `"${low}" ${between(restLow, restHigh)}`;
  const [zeros, nines] = ["0".repeat(restLow.length), "9".repeat(restLow.length)];
  const first = restLow === zeros ? Number(low) : Number(low) + 1;
  const last = restHigh === nines ? Number(high) : Number(high) - 1;
  const options = [
    ...(restLow === zeros ? [] : [`"${low}" ${between(restLow, nines)}`]),
    ...(first > last ? [] : [`[${first}-${last}] ${restLow === "" ? "" : `[0-9]{${restLow.length}}`}`]),
    ...(restHigh === nines ? [] : [`"${high}" ${between(zeros, restHigh)}`]),
  ];
  return `(${options.join(" | ")})`;
}
