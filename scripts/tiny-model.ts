/** A catalog entry for a model as small as the two that the repository ships. */
export function tinyModel(id: string) {
  return { id, context_length: 1024, size_gb: 0.003, min_ram_gb: 1 };
}
