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
    `Written by \`npm run bill\` on ${date.toISOString().slice(0, 10)}, from counts of a local run and Cloudflare's prices of its paid plan.`,
    "No bill of Cloudflare's was at hand to compare it with.",
    "",
    "## A month",
    "",
    cells(["", ...bills.map(({ fleet }) => fleet.name)]),
    cells(["---", ...bills.map(() => "---")]),
    ...rows,
    cells(["the plan", ...bills.map(() => "$5.00")]),
    cells(["**together**", ...bills.map(({ bill }) => `**${price(bill.dollars)}**`)]),
    "",
    `A chat is streamed and has ${MEASURED.tokens} tokens, at ${MEASURED.tokensPerSecond} a second. What is included is taken off.`,
    "",
    "## What was counted",
    "",
    cells(["what", "how much"]),
    cells(["---", "---"]),
    cells(["calls of a pool for a chat", chat.poolCalls.toFixed(1)]),
    cells([
      `messages of a machine for a chat, ${MEASURED.streams} at once on it (20 count as one request)`,
      chat.messages.toFixed(1),
    ]),
    cells(["messages of an idle machine in a minute; its pings are free", messagesPerMinute.toFixed(1)]),
    cells(["readings of KV for a look at the fleet", tick.kvReads.toFixed(0)]),
    cells(["rows written at such a look, by Fleet", tick.fleetRows.toFixed(0)]),
    cells(["rows that a busy pool writes in 10 s, with one machine and one key", rowsPerFlush.toFixed(0)]),
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

const TEXT = `## How it is reckoned

- **Awake objects** cost most. An object is billed for 128 MB as long as it works or waits for something, and a pool does so while
  a request is open, and for the 10 s until its counters are written. Chats are taken to come by chance. A pool that is never
  without one is awake all month: $4.15, of which the first is included. How many chats it serves meanwhile does not matter.
- **An idle object is not billed**, whether it still is in memory or sleeps already. A heartbeat or a look of Fleet's is reckoned
  with 10 ms, a look at the whole fleet with 1 s. Fleet looks every 30 s, and every 4 min at a fleet that is asked for nothing.
- **Readings of KV** are the most that there can be: two for each chat, of its key and of the catalog. An isolate of the Worker
  keeps a key for 10 s and the catalog for 5, so the more chats come in one place the fewer read anything.
- **Machines that have answered** cost a busy pool two rows each every 5 min: how fast they are, and what they did.
- **Not in the table**: CPU time of the Worker (the half millisecond that a chat takes stays within what is included up to some 60
  million chats), storage (far below the 5 GB that are included), logs (only failures leave a line), and the traffic itself, which
  Cloudflare does not charge for.

## What makes it more

- **A key with limits** has an object of its own, which is asked before each of its requests and told after it: about $9 for a
  million requests, and at most $6 a month for a key that is never idle.
- **More keys**: a pool writes a row more in 10 s for each key that has used it.
- **Longer answers**: messages, and time awake if the pool is not awake anyway.
- **An open dashboard or a scrape of the metrics** calls Fleet and the pools each time: some cents a month for each pool.
- **Owner routes** and \`GET /v1/models/capacity\` ask Fleet every few seconds at most for each isolate of the Worker.

## The free plan

Cloudflare counts by the day there, and what is above fails. First comes the end of the rows (100,000 a day): a pool that is awake
all day writes nearly as many. Then the awake time (13,000 GB-s, which is one object for 28 hours), then KV (100,000 readings, half
of which go to Fleet's looks). So it is enough for one model and some thousand chats a day, and to try things. The Worker may use
10 ms of CPU for a request there, which long prompts exceed.

## How large it can become

- **Sockets**: 32,768 in one pool.
- **A pool is one object**, with one thread. Cloudflare names 1,000 requests per second as what an object can take. A machine that
  generates sends 10 to 25 messages a second, less the busier its pool is, so plan with at most some 100 busy machines in a pool
  until you have seen more. On one local core a pool kept up with 400 ([benchmarks.md](benchmarks.md)). More machines for one model
  take a second catalog entry with another id, since a model is not spread over several pools today.
- **Fleet is one object** as well, but no chat passes through it.
`;
