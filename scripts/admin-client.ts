import { z } from "zod";

import { catalogEntrySchema } from "../core/catalog.ts";
import type { FlagName } from "../core/flags.ts";
import { UserError } from "./user-error.ts";

const machineSchema = z.object({
  machine_id: z.string(),
  state: z.string(),
  epoch: z.number(),
  assigned_model: z.string().nullable(),
  loaded_models: z.array(z.string()),
  in_flight: z.number(),
  explanation: z.object({ why: z.string() }),
});
export type MachineAnswer = z.infer<typeof machineSchema>;

const moveSchema = z.object({
  machine_id: z.string(),
  from: z.string().nullable(),
  to: z.string(),
  reason: z.string(),
  won_rps: z.number(),
  lost_rps: z.number(),
  gate_rps: z.number(),
  epoch: z.number().nullable(),
});

const utilizationSchema = z.object({
  model_pools: z.object({
    pools: z.array(
      z.object({
        model_id: z.string(),
        serving: z.number(),
        loading: z.number(),
        draining: z.number(),
        unmanaged: z.number(),
      }),
    ),
    co_resident_machines: z.number(),
    last_switches: z.array(
      z.object({
        machine_id: z.string(),
        from: z.string().nullable(),
        to: z.string().nullable(),
        epoch: z.number(),
        reason: z.string(),
        outcome: z.string(),
        took_ms: z.number(),
      }),
    ),
  }),
});
export type UtilizationAnswer = z.infer<typeof utilizationSchema>;

const usageSchema = z.object({ usage: z.array(z.object({ outcome: z.string(), requests: z.number() })) });
type UsageAnswer = z.infer<typeof usageSchema>;

const placementSchema = z.object({
  at: z.number().nullable(),
  models: z.array(
    z.object({
      model_id: z.string(),
      offered: z.number().nullable(),
      demand_rps: z.number(),
      capacity_rps: z.number(),
      desired: z.number(),
    }),
  ),
  moves: z.array(moveSchema),
  machines: z.array(z.object({ machine_id: z.string(), reason: z.string() })),
});
export type PlacementAnswer = z.infer<typeof placementSchema>;

/** The few calls of the admin API that the local start needs. */
export class AdminClient {
  readonly #url: string;
  readonly #token: string;

  /** @param url of the coordinator, without `/v1`. */
  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  async catalog(): Promise<readonly z.infer<typeof catalogEntrySchema>[]> {
    return z.array(catalogEntrySchema).parse(await this.#call("GET", "/catalog"));
  }

  /** Adds the entries whose ids the catalog does not have yet; what an operator has put there stays. */
  async addToCatalog(entries: readonly z.input<typeof catalogEntrySchema>[]): Promise<void> {
    const present = await this.catalog();
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

  async flag(name: FlagName): Promise<string> {
    return z.object({ value: z.string() }).parse(await this.#call("GET", `/flags/${name}`)).value;
  }

  async setFlag(name: FlagName, value: string): Promise<void> {
    await this.#call("PUT", `/flags/${name}`, { value });
  }

  /** Orders a machine to hold a model. @returns the epoch of the order. */
  async pin(machineId: string, modelId: string): Promise<number> {
    const answer = await this.#call("POST", `/machines/${machineId}/pin`, { model_id: modelId });
    return z.object({ epoch: z.number() }).parse(answer).epoch;
  }

  async machine(machineId: string): Promise<MachineAnswer> {
    return machineSchema.parse(await this.#call("GET", `/machines/${machineId}`));
  }

  async machines(): Promise<readonly { readonly machine_id: string }[]> {
    const schema = z.object({ machines: z.array(z.object({ machine_id: z.string() })) });
    return schema.parse(await this.#call("GET", "/machines")).machines;
  }

  async utilization(): Promise<UtilizationAnswer> {
    return utilizationSchema.parse(await this.#call("GET", "/utilization"));
  }

  /** Usage of the last day. */
  async usage(): Promise<UsageAnswer["usage"]> {
    return usageSchema.parse(await this.#call("GET", "/usage")).usage;
  }

  /** Lets placement move a machine that was pinned. */
  async unpin(machineId: string): Promise<void> {
    await this.#call("POST", `/machines/${machineId}/unpin`);
  }

  async placement(): Promise<PlacementAnswer> {
    return placementSchema.parse(await this.#call("GET", "/placement"));
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
