/** One line of the table. */
export interface Row {
  readonly work: string;
  readonly target: string;
  readonly reached: string;
  /** Null if there was nothing to compare with. */
  readonly met: boolean | null;
}

/** A row's way to a result. `quick` halves times and counts. */
export interface RowSpec {
  readonly work: string;
  readonly target: string;
  run(quick: boolean): Promise<Pick<Row, "reached" | "met">>;
}
