import { MEASURED } from "./measure.ts";
import { billOf, type FleetSize, type Units } from "./month.ts";

/** The page `docs/costs.md`. */

const FLEETS: readonly FleetSize[] = [
  { name: "10 Macs, 2 models, idle", machines: 10, pools: 2, chatsPerDay: 0 },
  { name: "10 Macs, 2 models, 10,000 chats a day", machines: 10, pools: 2, chatsPerDay: 10_000 },
  { name: "100 Macs, 5 models, 200,000 chats a day", machines: 100, pools: 5, chatsPerDay: 200_000 },
  { name: "1,000 Macs, 10 models, 1,000,000 chats a day", machines: 1000, pools: 10, chatsPerDay: 1_000_000 },
];

export function pageOf(units: Units, date: Date): string {
  const bills = FLEETS.map((fleet) => ({ fleet, bill: billOf(fleet, units) }));
  const rows = (bills[0]?.bill.lines ?? []).map(({ what }, index) =>
    cells([
      what,
      ...bills.map(({ bill }) => {
        const { amount = 0, dollars = 0 } = bill.lines[index] ?? {};
        return `${millions(amount)}: ${price(dollars)}`;
      }),
    ]),
  );
  const { chat, tick, rowsPerFlush, messagesPerMinute } = units;
  return [
    "# What it costs",
    "",
    `Written by \`npm run bill\` on ${date.toISOString().slice(0, 10)}, from counts of a local run and the prices of Cloudflare's paid plan.`,
    "It has not been compared with a real bill yet.",
    "",
    "## Per month",
    "",
    cells(["", ...bills.map(({ fleet }) => fleet.name)]),
    cells(["---", ...bills.map(() => "---")]),
    ...rows,
    cells(["base price of the plan", ...bills.map(() => "$5.00")]),
    cells(["**total**", ...bills.map(({ bill }) => `**${price(bill.dollars)}**`)]),
    "",
    `Each cell is the amount and its price after what the plan includes. A chat is streamed, with ${MEASURED.tokens} tokens at ${MEASURED.tokensPerSecond} tokens/s.`,
    "",
    "## Measured counts",
    "",
    cells(["count", "value"]),
    cells(["---", "---"]),
    cells(["calls to a pool per chat", chat.poolCalls.toFixed(1)]),
    cells([
      `WebSocket messages from a machine per chat, with ${MEASURED.streams} chats at once on it`,
      chat.messages.toFixed(1),
    ]),
    cells([
      "WebSocket messages from an idle machine per minute (its pings are free)",
      messagesPerMinute.toFixed(1),
    ]),
    cells(["KV reads per tick of Fleet", tick.kvReads.toFixed(0)]),
    cells(["rows that Fleet writes per tick", tick.fleetRows.toFixed(0)]),
    cells(["rows that a busy pool writes per 10 s, with one machine and one key", rowsPerFlush.toFixed(0)]),
    "",
    TEXT,
  ].join("\n");
}

function cells(values: readonly string[]): string {
  return `| ${values.join(" | ")} |`;
}

function millions(amount: number): string {
  return amount === 0 ? "0" : `${(amount / 1e6).toFixed(amount < 1e6 ? 2 : 1)} M`;
}

function price(dollars: number): string {
  return `$${dollars.toFixed(2)}`;
}

const TEXT = `## How it is calculated

- **Duration of objects** costs most. An object is billed for 128 MB while it works or waits for something. A pool does so while a
  request is open, and then for up to 10 s until its counters are written. Chats are assumed to arrive at random. A pool that is
  never without a request costs $4.15 a month (the first one is included in the plan), however many chats it serves.
- **Idle objects are not billed**, in memory or hibernated. A heartbeat, and each call from Fleet, is assumed to take 10 ms, a tick
  of Fleet 1 s. Fleet ticks every 30 s, and every 4 min while nobody asks the fleet for anything.
- **KV reads** are an upper bound: two per chat, for its key and the catalog. Each isolate of the Worker caches a key for 10 s and
  the catalog for 5 s, so a busy location reads much less.
- **Each machine that answers** costs a busy pool two rows per 5 min: its measured speed and its work.
- **Not in the table**: CPU time of the Worker (a chat takes half a millisecond; what is included lasts for some 60 million chats),
  storage (far below the 5 GB included), logs (only failures are logged), and traffic, which Cloudflare does not charge for.

## What adds to it

- **Keys with limits**: each has an object of its own, called before and after each of its requests: about $9 per million requests,
  and at most $6 a month for a key that is never idle.
- **More keys**: one more row per 10 s for each key in use in a pool.
- **Longer answers**: more messages, and more duration if the pool would otherwise be idle.
- **An open dashboard, or Prometheus**: each load or scrape calls Fleet and the pools, some cents a month per pool.
- **Owner routes** and \`GET /v1/models/capacity\`: one call to Fleet every few seconds at most per isolate of the Worker.

## The free plan

Its limits are per day, and requests beyond them fail. They are reached in this order: rows written (100,000; a pool that is awake
all day writes nearly as many), duration (13,000 GB-s, one object for 28 hours), KV reads (100,000, half of which are Fleet's
ticks). That is enough for trials, or for one model and some thousand chats a day. A request may use 10 ms of CPU in the Worker,
which long prompts exceed.

## Limits of scale

- **Sockets**: 32,768 per pool.
- **A pool is one object** with one thread, and Cloudflare gives 1,000 requests per second as an object's limit. A machine that
  generates sends 10 to 25 messages per second, fewer the busier its pool is: plan with at most about 100 busy machines per pool
  until you have measured more. On one local core a pool kept up with 400 ([benchmarks.md](benchmarks.md)). For more machines, add
  the model a second time under another id; a model is not spread over several pools.
- **Fleet is one object** as well, but no chat passes through it.
`;
