/**
 * Name of the pool object that serves `modelId`. Only this file knows the mapping: a model may later have several objects, so
 * no other code may assume one object per model.
 */
export function poolName(modelId: string, shard = 0): string {
  return shard === 0 ? modelId : `${modelId}${BEFORE_SHARD}${shard}`;
}

/** The model that a pool object of this name serves. */
export function modelOfPool(name: string): string {
  return name.split(BEFORE_SHARD)[0] ?? name;
}

/** No model id has it. */
const BEFORE_SHARD = "#";
