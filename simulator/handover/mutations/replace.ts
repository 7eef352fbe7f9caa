/** Puts another method on a class. @returns how to undo it. */
export function replace<T extends object, K extends keyof T>(target: T, name: K, method: T[K]): () => void {
  const original = target[name];
  target[name] = method;
  return () => {
    target[name] = original;
  };
}

/** Undoes all of them. */
export function all(undo: readonly (() => void)[]): () => void {
  return () => {
    for (const one of undo) one();
  };
}
