import type { OfferedModel } from "./ports.ts";

/** The models on this machine's disk. More may come while it runs; none ever goes. */
export class Shelf {
  readonly #models: OfferedModel[];

  constructor(models: readonly OfferedModel[]) {
    this.#models = [...models];
  }

  /** In the owner's order, those that came later at the end. */
  all(): readonly OfferedModel[] {
    return this.#models;
  }

  find(id: string | null): OfferedModel | undefined {
    return this.#models.find((model) => model.id === id);
  }

  add(model: OfferedModel): void {
    this.#models.push(model);
  }
}
