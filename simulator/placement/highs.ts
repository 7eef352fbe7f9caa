import load, { type Highs } from "highs";

/** A linear program in sparse columns, grown column by column. Everything is maximised. */
export class Program {
  readonly #cost: number[] = [];
  readonly #lower: number[] = [];
  readonly #upper: number[] = [];
  readonly #starts: number[] = [0];
  readonly #indices: number[] = [];
  readonly #values: number[] = [];
  readonly #rowLower: number[] = [];
  readonly #rowUpper: number[] = [];

  row(lower: number, upper: number): number {
    this.#rowLower.push(lower);
    this.#rowUpper.push(upper);
    return this.#rowLower.length - 1;
  }

  /** Entries are (row, value) pairs; a row below 0 is left out. */
  column(
    cost: number,
    lower: number,
    upper: number,
    entries: readonly (readonly [number, number])[],
  ): number {
    for (const [row, value] of entries) {
      if (row < 0) continue;
      this.#indices.push(row);
      this.#values.push(value);
    }
    this.#cost.push(cost);
    this.#lower.push(lower);
    this.#upper.push(upper);
    this.#starts.push(this.#indices.length);
    return this.#cost.length - 1;
  }

  /** The best column values, or undefined where no values satisfy all rows. */
  solve(highs: Highs): { readonly values: Float64Array; readonly objective: number } | undefined {
    const numCols = this.#cost.length;
    const numRows = this.#rowLower.length;
    const model = highs.createModel({
      numCols,
      numRows,
      sense: highs.constants.objectiveSense.maximize,
      colCost: this.#cost,
      colLower: this.#lower,
      colUpper: this.#upper,
      rowLower: this.#rowLower,
      rowUpper: this.#rowUpper,
      matrix: {
        format: "csc",
        numRows,
        numCols,
        starts: this.#starts,
        indices: this.#indices,
        values: this.#values,
      },
    });
    try {
      model.options.set({ output_flag: false, solver: "simplex" });
      model.run();
      if (model.getModelStatus() !== highs.constants.modelStatus.optimal) return undefined;
      return { values: model.getSolution().colValue, objective: model.getObjectiveValue() };
    } finally {
      model.dispose();
    }
  }
}

export async function loadHighs(): Promise<Highs> {
  return await load();
}
