import type { AgentStatus } from "./agent/status.ts";
import type { TerminalLine } from "./terminal-line.ts";

/** The status line at the bottom of a terminal. */

const REDRAW_MS = 500;
/** Tokens per second are averaged over this many redraws. */
const RATE_SAMPLES = 10;

export class StatusLine {
  readonly #line: TerminalLine;
  readonly #read: () => AgentStatus;
  readonly #more: () => string;
  readonly #now: () => number;
  readonly #samples: { readonly at: number; readonly tokens: number }[] = [];
  #timer: NodeJS.Timeout | null = null;

  /** @param more text to append, such as a download's progress; may be empty. */
  constructor(line: TerminalLine, read: () => AgentStatus, more: () => string, now: () => number) {
    this.#line = line;
    this.#read = read;
    this.#more = more;
    this.#now = now;
  }

  start(): void {
    this.#timer = setInterval(() => this.redraw(), REDRAW_MS);
    this.redraw();
  }

  /** Leaves the terminal as it was found. */
  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#line.erase();
  }

  redraw(): void {
    this.#samples.push({ at: this.#now(), tokens: this.#read().tokens });
    if (this.#samples.length > RATE_SAMPLES) this.#samples.shift();
    const status = describeStatus(this.#read(), tokensPerSecond(this.#samples), this.#now());
    const more = this.#more();
    this.#line.show(more === "" ? status : `${status} | ${more}`);
  }
}

export function describeStatus(status: AgentStatus, tps: number, now: number): string {
  const parts = [stateText(status), ...assignmentText(status)];
  if (status.reservedBecause !== null) parts.push(`for its owner only: ${status.reservedBecause}`);
  if (status.state !== "loading") {
    parts.push(`${status.running}/${status.slots} running`, `${tps.toFixed(tps < 10 ? 1 : 0)} tokens/s`);
  }
  parts.push(connectionText(status, now));
  return parts.join(" | ");
}

function stateText({ state, model, progress, assignment }: AgentStatus): string {
  switch (state) {
    case "draining":
      return `draining ${model ?? ""} for ${assignment?.model ?? ""}`;
    case "failed":
      return `cannot hold ${model ?? ""}`;
    case "loading":
      return `loading ${model ?? ""} ${Math.round(progress * 100)} %`;
    case "serving":
      return `serving ${model ?? ""}`;
    case "idle":
      return "no model loaded";
    case "stopping":
      return "stopping";
  }
}

function assignmentText({ assignment }: AgentStatus): string[] {
  if (assignment === null) return [];
  return [assignment.phase === "visiting" ? `for its owner, then ${assignment.model} again` : "assigned"];
}

function connectionText({ state, pools, nextDialAt }: AgentStatus, now: number): string {
  if (pools > 0) return pools === 1 ? "connected" : `connected to ${pools} pools`;
  if (state === "stopping") return "disconnected";
  if (nextDialAt === null) return "connecting";
  return `not connected, next try in ${Math.max(0, Math.ceil((nextDialAt - now) / 1000))} s`;
}

function tokensPerSecond(samples: readonly { readonly at: number; readonly tokens: number }[]): number {
  const first = samples[0];
  const last = samples.at(-1);
  if (first === undefined || last === undefined || last.at <= first.at) return 0;
  return ((last.tokens - first.tokens) * 1000) / (last.at - first.at);
}
