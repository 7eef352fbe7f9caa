import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { AdminClient } from "../../scripts/admin-client.ts";
import { bundleWorker } from "../../scripts/bundle.ts";
import { ROOT } from "../../scripts/root.ts";
import type { Target } from "./chat.ts";
import { POOL_WAKES, writeConfig } from "./coordinator-config.ts";
import { MockProvider, type Job } from "./mock-provider.ts";
import { freePort, startServer, temporaryFolder } from "./processes.ts";
import { ALL_WORKS, workName } from "./work.ts";

/** The one model. What is to be generated is in the alias a client asks for. */
export const MODEL = "bench";

/** Streams that a machine runs at once: the catalog's default. */
export const SLOTS_PER_MACHINE = 4;

/** Whose machines they are, by turns: one owner's new machines may dial 3,000 times a minute. */
const OWNERS = 8;

/** Machines that dial at the same time, as after a restart with jitter. */
const DIALS_AT_ONCE = 64;

/** After this long no more machines dial; the row then reports fewer than it wanted. */
const DIAL_LIMIT_MS = 75_000;

/** The whole product in one raw workerd, with a model in its catalog, an API key and machines. */
export class Coordinator {
  readonly target: Target;
  readonly admin: AdminClient;
  /** Of the first owner. */
  readonly providerToken: string;
  readonly #tokens: readonly string[];
  /** Where the pool and the fleet keep their databases. */
  readonly poolStorage: string;
  readonly fleetStorage: string;
  readonly #lives: { count: number };
  readonly #providers: MockProvider[] = [];
  readonly #stop: () => Promise<void>;

  private constructor(
    target: Target,
    admin: AdminClient,
    tokens: readonly string[],
    storage: string,
    lives: { count: number },
    stop: () => Promise<void>,
  ) {
    this.target = target;
    this.admin = admin;
    const [first = ""] = tokens;
    this.providerToken = first;
    this.#tokens = tokens;
    this.poolStorage = join(storage, "ModelPool");
    this.fleetStorage = join(storage, "Fleet");
    this.#lives = lives;
    this.#stop = stop;
  }

  /** @param main the module in front of the bundle, if it is not the usual one. */
  static async start(main?: string): Promise<Coordinator> {
    const folder = temporaryFolder();
    const storage = join(folder, "storage");
    mkdirSync(storage);
    await bundleWorker(folder, true);
    const port = await freePort();
    const adminToken = randomBytes(16).toString("hex");
    const config = writeConfig(folder, port, storage, adminToken, main);
    const lives = { count: 0 };
    const { url, pid, stop } = await startServer({
      command: [join(ROOT, "node_modules/workerd/bin/workerd"), "serve", config],
      port,
      healthPath: "/health",
      onLine: (line) => {
        if (line.includes(POOL_WAKES)) lives.count += 1;
      },
    });
    const admin = new AdminClient(url, adminToken);
    await admin.addToCatalog([
      {
        id: MODEL,
        aliases: ALL_WORKS.map(workName),
        context_length: 4096,
        size_gb: 1,
        min_ram_gb: 2,
        max_concurrency: SLOTS_PER_MACHINE,
      },
    ]);
    const headers = { authorization: `Bearer ${await admin.createKey("bench", "bench")}` };
    const owners = ["bench", ...Array.from({ length: OWNERS - 1 }, (_, index) => `bench-${index + 2}`)];
    const tokens = await Promise.all(owners.map((owner) => admin.createProviderToken(owner, "bench")));
    const target = { name: "Poolkeeper", url, pid, headers };
    return new Coordinator(target, admin, tokens, storage, lives, stop);
  }

  /** How often the pool has been woken, its first start included. */
  get poolLives(): number {
    return this.#lives.count;
  }

  /** Machines that hold a socket. */
  get machines(): number {
    return this.#providers.filter(({ isOpen }) => isOpen).length;
  }

  /** Lets machines dial until there are `count`, or the time for dialing is over. */
  async growTo(count: number): Promise<void> {
    const until = Date.now() + DIAL_LIMIT_MS;
    while (this.#providers.length < count && Date.now() < until) {
      const batch = Array.from({ length: Math.min(DIALS_AT_ONCE, count - this.#providers.length) }, (_, i) =>
        this.#dial(this.#providers.length + i),
      );
      this.#providers.push(...batch);
      await Promise.all(batch.map((provider) => provider.registered));
    }
  }

  /** For how long a machine has had a free slot without a break, in milliseconds; 0 if all are full. */
  longestFreeMs(): number {
    return Math.max(0, ...this.#providers.map((provider) => provider.freeForMs()));
  }

  /** Whether a machine has had a free slot for as long, and has it for as long again: the pool gives it to nobody. */
  async hasIdleSlot(ms: number): Promise<boolean> {
    const free = this.#providers.filter((provider) => provider.freeForMs() > ms);
    if (free.length === 0) return false;
    await sleep(ms);
    return free.some((provider) => provider.freeForMs() > 2 * ms);
  }

  /** Requests that the machines have answered to the end, and how long they took in all. */
  served(): { readonly requests: number; readonly totalMs: number } {
    const sum = { requests: 0, totalMs: 0 };
    for (const { served } of this.#providers) {
      sum.requests += served.requests;
      sum.totalMs += served.totalMs;
    }
    return sum;
  }

  /** What a machine is answering now. */
  jobsOf(index: number): readonly Job[] {
    return this.#providers[index]?.jobs ?? [];
  }

  /** A machine vanishes without a word. */
  kill(index: number): void {
    this.#providers[index]?.close();
  }

  /** The machine dials again. */
  async revive(index: number): Promise<void> {
    const provider = this.#dial(index);
    this.#providers[index] = provider;
    await provider.registered;
  }

  /** Lets all machines go. */
  dismissMachines(): void {
    for (const provider of this.#providers.splice(0)) provider.close();
  }

  #dial(index: number): MockProvider {
    const token = this.#tokens[index % OWNERS] ?? this.providerToken;
    return new MockProvider(this.target.url, token, MODEL, `mac-${index}`, SLOTS_PER_MACHINE);
  }

  /** Requests that have ended so, as the pool has counted them. */
  async countOf(outcome: string): Promise<number> {
    const usage = await this.admin.usage();
    return usage.reduce((sum, row) => sum + (row.outcome === outcome ? row.requests : 0), 0);
  }

  async stop(): Promise<void> {
    this.dismissMachines();
    await this.#stop();
  }
}
