/** States what must hold. A failure is a bug in this code, never something the outside can cause. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}
