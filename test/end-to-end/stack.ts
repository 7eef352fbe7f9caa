import { fork, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import OpenAI, { APIError } from "openai";

import { AdminClient } from "../../scripts/admin-client.ts";
import { ROOT } from "../../scripts/root.ts";

/** The whole product as processes: `npm start -- --no-demo` and provider programs, for tests that kill them. */

export interface DevFile {
  readonly base_url: string;
  readonly api_key: string;
  readonly admin_token: string;
  readonly provider_token: string;
}

/** What a tiny model is asked, so that it says its name: sampled, but always the same. */
const INTRODUCE = {
  messages: [{ role: "user" as const, content: "Who are you?" }],
  temperature: 0.7,
  top_p: 0.9,
  seed: 7,
};

/** What came of a request: the name of the model that answered, or `429 pool_exhausted`. */
export async function ask(client: OpenAI, model: string, signal?: AbortSignal): Promise<string> {
  try {
    const answer = await client.chat.completions.create({ model, ...INTRODUCE }, { signal: signal ?? null });
    const text = answer.choices[0]?.message.content ?? "";
    return /tiny (bard|verse)/i.exec(text)?.[0].toLowerCase().replace(" ", "-") ?? `nobody: ${text}`;
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    return error.status === undefined ? "no connection" : `${error.status} ${error.code}`;
  }
}

/** Asks some models without end, each one question after the other. */
export class Traffic {
  readonly #outcomes = new Map<string, Set<string>>();
  readonly #abort = new AbortController();
  readonly #loops: Promise<void>[];

  constructor(client: OpenAI, models: readonly string[]) {
    this.#loops = models.map((model) => this.#run(client, model));
  }

  /** @returns what came of the questions to each model, without repetitions, sorted. */
  async stop(): Promise<ReadonlyMap<string, readonly string[]>> {
    this.#abort.abort();
    await Promise.all(this.#loops);
    return new Map([...this.#outcomes].map(([model, outcomes]) => [model, [...outcomes].toSorted()]));
  }

  async #run(client: OpenAI, model: string): Promise<void> {
    const { signal } = this.#abort;
    const outcomes = new Set<string>();
    this.#outcomes.set(model, outcomes);
    while (!signal.aborted) {
      const outcome = await ask(client, model, signal);
      if (signal.aborted) break;
      outcomes.add(outcome);
      // The tests share the machine with the models.
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** Polls until `probe` gives a value; the test's own time-out ends it. */
export async function until<T>(
  probe: () => T | null | undefined | Promise<T | null | undefined>,
): Promise<T> {
  for (;;) {
    const value = await probe();
    if (value !== null && value !== undefined) return value;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

export interface LongStream {
  /** Its finish reason; `cut` is what must not happen, an end without one. */
  readonly outcome: Promise<string>;
}

/** An answer of hundreds of tokens that has begun. */
export async function longStream(client: OpenAI, model: string): Promise<LongStream> {
  const stream = await until(() =>
    client.chat.completions
      .create({
        model,
        messages: [{ role: "user", content: "Count." }],
        stream: true,
        max_tokens: 700,
        response_format: {
          type: "json_schema",
          json_schema: {
            name: "count",
            schema: { type: "array", items: { type: "integer" }, minItems: 300 },
          },
        },
      })
      .catch(() => null),
  );
  const read = async (): Promise<string> => {
    let outcome = "cut";
    try {
      for await (const chunk of stream) outcome = chunk.choices[0]?.finish_reason ?? outcome;
    } catch {
      return "error";
    }
    return outcome;
  };
  return { outcome: read() };
}

export class Stack {
  readonly dir = mkdtempSync(join(tmpdir(), "poolkeeper-"));
  readonly #children = new Set<ChildProcess>();
  /** Each with its workerd a group of its own. */
  readonly #coordinators = new Set<ChildProcess>();
  #coordinator: ChildProcess | null = null;
  #port = 0;
  #dev: DevFile | null;

  /** @param running a coordinator that somebody else has started, and will end */
  constructor(running: DevFile | null = null) {
    this.#dev = running;
  }

  get dev(): DevFile {
    if (this.#dev === null) throw new Error("the coordinator was not started");
    return this.#dev;
  }

  get url(): string {
    return this.dev.base_url.replace(/\/v1$/, "");
  }

  /** Starts the coordinator; a second time on the same port and state. */
  async startCoordinator(): Promise<void> {
    rmSync(join(this.dir, "dev.json"), { force: true });
    const { child, output } = this.launchCoordinator();
    this.#coordinator = child;
    this.#dev = await until(() => {
      if (child.exitCode !== null) throw new Error(`the coordinator ended:\n${output()}`);
      const path = join(this.dir, "dev.json");
      return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as DevFile) : null;
    });
    this.#port = Number(new URL(this.dev.base_url).port);
  }

  /** Runs `npm start` on this state, whatever comes of it. */
  launchCoordinator(option = "--no-demo"): { readonly child: ChildProcess; readonly output: () => string } {
    const args = ["scripts/start.ts", option, "--port", String(this.#port), "--state", this.dir];
    const child = spawn(process.execPath, args, {
      cwd: ROOT,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#children.add(child);
    this.#coordinators.add(child);
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk) => (output += String(chunk)));
    return { child, output: () => output };
  }

  /** Ends the coordinator and its workerd without a chance to say goodbye. */
  async killCoordinator(child: ChildProcess | null = this.#coordinator): Promise<void> {
    if (child?.pid === undefined) throw new Error("no coordinator to kill");
    const ended = once(child, "exit");
    process.kill(-child.pid, "SIGKILL");
    await ended;
    this.#children.delete(child);
  }

  /** Kills `npm start` and leaves its workerd, which the caller has to end. */
  async orphanWorkerd(): Promise<{ end(): void }> {
    const child = this.#coordinator;
    const group = child?.pid;
    if (child === null || group === undefined) throw new Error("no coordinator to kill");
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
    return { end: () => process.kill(-group, "SIGKILL") };
  }

  get admin(): AdminClient {
    return new AdminClient(this.url, this.dev.admin_token);
  }

  client(options: { maxRetries?: number } = {}): OpenAI {
    return new OpenAI({ baseURL: this.dev.base_url, apiKey: this.dev.api_key, maxRetries: 0, ...options });
  }

  /**
   * Starts a provider program and waits until it serves.
   * @param models on its disk, one or several.
   */
  async startProvider(
    machineId: string,
    models: string | readonly string[],
    extra: readonly string[] = [],
  ): Promise<ChildProcess> {
    const args = ["--coordinator", this.url, "--machine-id", machineId];
    for (const model of [models].flat()) {
      args.push("--model", `${model}=${join(ROOT, "models", `${model}.gguf`)}`);
    }
    args.push(
      "--state",
      join(this.dir, machineId),
      "--context",
      "1024",
      "--threads",
      "1",
      "--json",
      ...extra,
    );
    const child = fork(join(ROOT, "provider/src/main.ts"), args, {
      env: { ...process.env, POOLKEEPER_PROVIDER_TOKEN: this.dev.provider_token },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    this.#children.add(child);
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream?.on("data", (chunk) => (output += String(chunk)));
    await until(() => {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`the provider ended:\n${output}`);
      return output.includes('"message":"serving"') || null;
    });
    return child;
  }

  /** Ends everything that was started and removes the state. */
  async stop(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) continue;
      const ended = once(child, "exit");
      if (this.#coordinators.has(child)) process.kill(-child.pid, "SIGKILL");
      else child.kill("SIGKILL");
      await ended;
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}
