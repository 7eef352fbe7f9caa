/** What a month costs, from what one chat, one tick and one machine were counted to take. */

export const DAYS = 30;
const MINUTES = DAYS * 24 * 60;
const SECONDS = MINUTES * 60;

/** As counted on a local workerd. */
export interface Units {
  readonly chat: {
    /** Calls that a pool gets for it. */
    readonly poolCalls: number;
    /** Messages of the machine that answers it. */
    readonly messages: number;
    readonly seconds: number;
  };
  /** A look at the whole fleet, every 30 s while there are requests. */
  readonly tick: { readonly kvReads: number; readonly fleetRows: number };
  /** Rows of a busy pool in its 10 s, without those for its machines. */
  readonly rowsPerFlush: number;
  /** Messages of a machine that has nothing to do. */
  readonly messagesPerMinute: number;
}

export interface FleetSize {
  readonly name: string;
  readonly machines: number;
  readonly pools: number;
  readonly chatsPerDay: number;
}

/** Cloudflare's prices of its paid plan, in dollars, by what is included each month and what a million more costs. */
const PRICES = {
  workerRequests: { what: "Worker requests", included: 10e6, perMillion: 0.3 },
  objectRequests: {
    what: "Durable Object requests (20 WebSocket messages count as one)",
    included: 1e6,
    perMillion: 0.15,
  },
  gigabyteSeconds: { what: "Durable Object duration, GB-s", included: 400e3, perMillion: 12.5 },
  rowsWritten: { what: "SQLite rows written", included: 50e6, perMillion: 1 },
  kvReads: { what: "KV reads", included: 10e6, perMillion: 0.5 },
  points: { what: "Analytics Engine data points", included: 10e6, perMillion: 0.25 },
} as const;
type Meter = keyof typeof PRICES;

const PLAN_PRICE = 5;

/** An object is billed for all of the memory that it may have. */
const OBJECT_GB = 0.128;

/** An awake pool writes its counters, and stays awake for them, in this many seconds. */
const FLUSH_S = 10;

/** A busy pool writes two rows for each machine that has answered, its speeds and its work, this often. */
const MACHINE_ROWS = 2;
const MACHINES_S = 300;

const TICK_S = 30;
const IDLE_TICK_S = 240;

/** What the platform bills for an event that takes less: its own examples take so long for a message. */
const EVENT_S = 0.01;

/** A tick waits for the answers of all pools. */
const TICK_AWAKE_S = 1;

/** A key and the catalog are read anew for a chat at most; an isolate that has read them lately reads nothing. */
const KV_READS_PER_CHAT_MAX = 2;

export interface BillLine {
  readonly what: string;
  readonly amount: number;
  readonly dollars: number;
}

export interface Bill {
  readonly lines: readonly BillLine[];
  /** With the plan's own price. */
  readonly dollars: number;
  /** Of the pools, the share of the month in which each is awake. */
  readonly awake: number;
}

export function billOf({ machines, pools, chatsPerDay }: FleetSize, units: Units): Bill {
  const chats = chatsPerDay * DAYS;
  const tickS = chatsPerDay > 0 ? TICK_S : IDLE_TICK_S;
  const ticks = SECONDS / tickS;
  const messages = chats * units.chat.messages + machines * MINUTES * units.messagesPerMinute;
  // Chats that come by chance: a pool sleeps only in the gaps that are longer than a chat and the flush after it.
  const awake = 1 - Math.exp((-chats / pools / SECONDS) * (units.chat.seconds + FLUSH_S));
  const events = machines * MINUTES * units.messagesPerMinute + ticks * pools + MINUTES;
  const awakeS = pools * awake * SECONDS + ticks * TICK_AWAKE_S + events * EVENT_S;
  const amounts: Record<Meter, number> = {
    workerRequests: chats + MINUTES,
    objectRequests: chats * units.chat.poolCalls + ticks * (1 + pools) + MINUTES + messages / 20,
    gigabyteSeconds: awakeS * OBJECT_GB,
    rowsWritten:
      ticks * units.tick.fleetRows +
      (pools * awake * SECONDS * units.rowsPerFlush) / FLUSH_S +
      MACHINE_ROWS * Math.min(chats, (machines * awake * SECONDS) / MACHINES_S),
    kvReads: ticks * units.tick.kvReads + chats * KV_READS_PER_CHAT_MAX,
    points: chats,
  };
  const lines = Object.entries(PRICES).map(([meter, { what, included, perMillion }]) => {
    const amount = amounts[meter as Meter];
    return { what, amount, dollars: (Math.max(0, amount - included) * perMillion) / 1e6 };
  });
  return { lines, dollars: lines.reduce((sum, line) => sum + line.dollars, PLAN_PRICE), awake };
}
