import { z } from "zod";

import { catalogEntrySchema } from "../core/catalog.ts";
import { UserError } from "./user-error.ts";

/** The few calls of the admin API that the local start needs. */
export class AdminClient {
  readonly #url: string;
  readonly #token: string;

  /** @param url of the coordinator, without `/v1`. */
  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  /** Adds the entries whose ids the catalog does not have yet; what an operator has put there stays. */
  async addToCatalog(entries: readonly z.input<typeof catalogEntrySchema>[]): Promise<void> {
    const present = z.array(catalogEntrySchema).parse(await this.#call("GET", "/catalog"));
    const missing = entries.filter((entry) => !present.some(({ id }) => id === entry.id));
    if (missing.length > 0) await this.#call("PUT", "/catalog", [...present, ...missing]);
  }

  async createKey(owner: string, name: string): Promise<string> {
    return z.object({ key: z.string() }).parse(await this.#call("POST", "/keys", { owner, name })).key;
  }

  async createProviderToken(owner: string, name: string): Promise<string> {
    const answer = await this.#call("POST", "/provider-tokens", { owner, name });
    return z.object({ token: z.string() }).parse(answer).token;
  }

  async #call(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${this.#url}/v1/admin${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new UserError(`${method} /v1/admin${path} answered ${response.status}: ${text}`);
    return JSON.parse(text);
  }
}
