import { addToCatalog, catalogEntry, scene, unique, type Scene } from "./scene.ts";

interface Models {
  readonly first: Scene;
  readonly second: Scene;
  /** Another name of the second. */
  readonly alias: string;
}

/** Two models for one client. */
export async function twoModels(): Promise<Models> {
  const first = await scene();
  const model = unique("model");
  const alias = `${model}-alias`;
  await addToCatalog(catalogEntry(model, { aliases: [alias] }));
  return { first, second: { ...first, model }, alias };
}
