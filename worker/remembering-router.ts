import type { Result, Router } from "hono/router";
import { TrieRouter } from "hono/router/trie-router";

/** Paths that are remembered, each with its method; clients ask for a handful, and whoever makes up more costs a walk each. */
const PATHS_MAX = 200;

/**
 * Hono's router for any pattern, with a memory: its tree is walked once for a path and not for each request. For a chat
 * that walk was a twentieth of everything.
 */
export class RememberingRouter<T> implements Router<T> {
  readonly name = "RememberingRouter";
  readonly #routes = new TrieRouter<T>();
  readonly #found = new Map<string, Result<T>>();

  add(method: string, path: string, handler: T): void {
    this.#found.clear();
    this.#routes.add(method, path, handler);
  }

  match(method: string, path: string): Result<T> {
    const name = `${method} ${path}`;
    const known = this.#found.get(name);
    if (known !== undefined) return known;
    const found = this.#routes.match(method, path);
    if (this.#found.size >= PATHS_MAX) this.#found.clear();
    this.#found.set(name, found);
    return found;
  }
}
