/**
 * Name of the pool object that serves `modelId`. The one place that knows how: a model may later be spread over
 * several objects, so nothing else may assume one object per model.
 */
export function poolName(modelId: string, shard = 0): string {
  return shard === 0 ? modelId : `${modelId}#${shard}`;
}
