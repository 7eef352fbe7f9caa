import { LIVENESS_TIMEOUT_MS, MAX_REQUEST_BODY_BYTES, PING_INTERVAL_MS } from "../protocol/limits.ts";
import { assert } from "./assert.ts";

/**
 * The limits of the coordinator, with the relations between them. A limit that matters to one algorithm only, such as the
 * length of its buckets, stands beside it. Durations end in `_MS`, sizes in `_BYTES`.
 */

/** A request's whole life, from its arrival at the edge to its last byte. As long as the official SDKs wait. */
export const REQUEST_DEADLINE_MS = 600_000;

/** Machines that may fail one request, the first and at most two more. Refusals for lack of room do not count. */
export const MAX_ATTEMPTS = 3;

/** A machine that has the model loaded must accept or refuse within this time. */
export const ACCEPT_TIMEOUT_MS = 10_000;

/** How long a machine may take to load a model. */
export const LOAD_TIMEOUT_MS = 180_000;

/** A machine must say that it has heard of its order within this time (H13). */
export const EXPECT_TIMEOUT_MS = 60_000;

/** A released pool keeps an idle socket this long for the machine to appear in its new pool (H6). */
export const RELEASED_SOCKET_MS = 60_000;

/**
 * Backoff of a pool's question about a register that the fleet has not answered: doubled each time up to the longest, with
 * jitter of up to twice as long.
 */
export const ASK_AGAIN_MS = 2_000;
export const ASK_AGAIN_MAX_MS = 30_000;

/** How long running requests may go on before a switch ends them. */
export const DRAIN_TIMEOUT_MS = 30_000;

/** Both as orders carry them. */
export const ORDER_TIMES = { drain_ms: DRAIN_TIMEOUT_MS, load_ms: LOAD_TIMEOUT_MS } as const;

/** From acceptance to the first byte of a stream, plus `FIRST_BYTE_PER_TOKEN_MS` for each token of the prompt. */
export const FIRST_BYTE_TIMEOUT_MS = 60_000;

/** The slowest prefill worth waiting for: 50 tokens a second. */
export const FIRST_BYTE_PER_TOKEN_MS = 20;

/** A stream that has begun and then brings no byte for this long is ended. */
export const STREAM_IDLE_TIMEOUT_MS = 60_000;

/** A cancelled stream's slot is taken for free after this long even if the machine has not answered. */
export const CANCEL_TIMEOUT_MS = 5_000;

/** Pause of a machine after it refused for lack of room; its next heartbeat ends it sooner. */
export const REFUSAL_PAUSE_MS = 500;

/** After this many refusals without a completed request, a machine's heartbeat no longer ends its pause. */
export const REFUSALS_BELIEVED = 8;

/** Shortest interval between two audits of a refusal, each of which checks every machine of the pool. */
export const AUDIT_INTERVAL_MS = 100;

/** A stream without a byte gets a comment line after this long and then as often. */
export const COMMENT_INTERVAL_MS = 3_000;

/** A pool that has never seen a machine asks the fleet whether any could serve, and waits this long for the answer. */
export const SUPPLY_ANSWER_MS = 2_000;

/** What the fleet says of the supply counts for this long (H23). */
export const SUPPLY_FRESH_MS = 300_000;

/** A request may wait for a load that is expected to end within this time, or within `queue_wait_ms` if that is more. */
export const WAIT_FOR_LOAD_MS = 10_000;

/** Nothing waits in line longer, whatever it waits for. */
export const LONGEST_QUEUE_WAIT_MS = 60_000;

/** In line, this much waiting makes up for one step of an API key's priority. */
export const AGEING_MS = 2_000;

/** A machine that can is asked this often to prove that it holds its key. */
export const CHALLENGE_INTERVAL_MS = 300_000;

/** How long a proof is valid, from its challenge on: the next challenge, and its answer, may be late. */
export const PROOF_LASTS_MS = 2 * CHALLENGE_INTERVAL_MS;

/** Requests that need a proven machine wait this long for one that was just asked, and are not refused. */
export const PROOF_WAIT_MS = 5_000;

/** Faults in a row that open a machine's breaker, and for how long: first the least, doubled up to the most. */
export const BREAKER_FAULTS = 3;
export const BREAKER_MIN_MS = 10_000;
export const BREAKER_MAX_MS = 120_000;

/** Hashes of beginnings of prompts that a pool remembers of a machine: a hundred long conversations and more. */
export const PREFIXES_PER_MACHINE = 2_048;

/** Cache keys that a pool remembers of a machine: several times the conversations that one keeps cached. */
export const CACHE_KEYS_PER_MACHINE = 128;

/** Characters of a `prompt_cache_key`; OpenAI's own limit is 64. */
export const CACHE_KEY_CHARS_MAX = 256;

/** A prompt this long tells how fast a machine reads. */
export const PREFILL_SAYS_TOKENS = 256;

/** After this long an idle machine's measurement is ignored, so that it gets a prompt and is measured again. */
export const PREFILL_SAYS_FOR_MS = 60_000;

/** After a start a pool that knows machines which are not back yet lets requests wait instead of refusing (H19). */
export const RECONNECT_GRACE_MS = 10_000;

/** While requests are open a pool looks at its deadlines this often, and for silent sockets this often (H20). */
export const TICK_INTERVAL_MS = 250;
export const SILENCE_CHECK_INTERVAL_MS = 10_000;

/** Unread bytes of a client's stream above which the pool asks the machine to pause it. */
export const PAUSE_ABOVE_BYTES = 64 * 1024;

/** A stream that stays paused this long is ended if other requests wait for its slot. */
export const CLIENT_PAUSE_MS = 60_000;

/** Pieces of streams that a pool wants to get in a second: with more requests, providers are asked to collect for longer. */
export const PIECES_PER_SECOND = 8_000;

/** Longest flush interval that a pool asks for, at any load: readers still see ten updates a second. */
export const MAX_FLUSH_INTERVAL_MS = 100;

/** A buffered chunk counts as at least this many bytes, which is the overhead of keeping one. */
export const LEAST_PIECE_BYTES = 128;

/** Bodies above this length share a limited amount of a pool's memory: an object has 128 MB in all. */
export const LONG_BODY_CHARS = 256 * 1024;
export const LONG_BODIES_BYTES_MAX = 48 * 1024 * 1024;

/** Bytes of bodies that one isolate of the Worker holds at once, and above how many it takes in no further long one. */
export const HELD_BODIES_BYTES_MAX = 48 * 1024 * 1024;
export const HELD_LONG_BODIES_BYTES_MAX = 32 * 1024 * 1024;

/** Whom it has no room for comes back after so long at the soonest: about as long as a long prompt is read. */
export const LONG_BODY_WAIT_S = 3;

/** Counters wait in memory this long before they are written in one transaction; a crash loses at most as much. */
export const USAGE_FLUSH_INTERVAL_MS = 10_000;

/** While a pool is busy, its machines' speeds and work are written this often; a crash loses at most as much. */
export const MACHINES_FLUSH_INTERVAL_MS = 300_000;

/** Points that a pool writes to Analytics Engine in one event, well below the 250 that the platform takes of one invocation. */
export const POINTS_PER_EVENT = 20;

/** Points that may wait for the next event; more are dropped. */
export const POINTS_WAITING_MAX = 1_000;

/** Usage is kept by the hour for this long. */
export const USAGE_RETENTION_MS = 35 * 86_400_000;

/** Rows in one report of the usage: a pool may answer with 32 MB, and an isolate has 128. */
export const USAGE_ROWS_MAX = 100_000;

/** Demand is kept by the minute for this long: a week to replay, and a day to spare. */
export const DEMAND_RETENTION_MS = 8 * 86_400_000;

/** Stream numbers are reserved on a socket in blocks, so that a pool waking up never uses one twice. */
export const STREAM_BLOCK = 1024;

/** Unanswered calls of a handover are repeated after this long, doubled each time up to the longest (H3). */
export const HANDOVER_RETRY_MIN_MS = 1_000;
export const HANDOVER_RETRY_MAX_MS = 30_000;

/** Releases that take longer are shown to operators, and their machine no longer counts as coming (H3). */
export const RELEASING_TOO_LONG_MS = 120_000;

/** A membership younger than this may not have its socket yet: the dial was answered, the upgrade is on its way. */
export const MEMBERSHIP_GRACE_MS = 60_000;

/** A record is kept at least this long: its epoch tells a late call of an older order from a new one. */
export const RECORD_GRACE_MS = 60_000;

/** Deleted machines whose newest order is kept, so that their epochs go on should they ever come back. */
export const DELETED_MACHINES_KEPT = 1_000;

/** Lines of switch history in a report. */
export const REPORTED_SWITCHES = 50;

/** Lines of switch history kept. */
export const SWITCH_HISTORY = 1_000;

/** After this many ticks without activity, ticks come only at this interval. */
export const QUIET_TICKS = 3;
export const IDLE_TICK_MS = 240_000;

/** A pool tells the fleet of new demand this long after the first request of it. */
export const DEMAND_NEWS_DELAY_MS = 500;

/** Delay of an early tick, so that several requests for one are combined, and the shortest time between two ticks. */
export const EARLY_TICK_DELAY_MS = 1_000;
export const EARLY_TICK_GAP_MS = 5_000;

/** How long after the last sign of two programs under one machine id they are reported: each redials within 30 s (4001). */
export const CONTESTED_MS = 120_000;

/** An order that changed or a machine that registered within this time counts as activity. */
export const STIRRED_MS = 300_000;

/** Rows of the log of changes that are kept: changes, and apart from them what was refused. */
export const AUDIT_CHANGES_KEPT = 5_000;
export const AUDIT_REFUSALS_KEPT = 1_000;
/** So many rows may be there beyond those before the oldest are dropped. */
export const AUDIT_DROPPED_TOGETHER = 100;

/** Machines that one call may give an order to: each may be several calls to pools. */
export const BULK_MACHINES_MAX = 500;

/** Rows of it in one answer. */
export const AUDIT_PAGE_MAX = 500;

/** Plans kept: those that moved something, and where the mode or what kept it from moving changed. */
export const PLAN_HISTORY = 500;

/** Machines whose reasons are kept with the last plan; its row must stay below the platform's 2 MB. */
export const PLANNED_MACHINES_KEPT = 5_000;

/** Rows of the score that are kept: one for each day and mode. */
export const SCORED_DAYS_KEPT = 30;

/** Machines that may be elsewhere in the imagined fleet of the score; its row must stay below that, too. */
export const ELSEWHERE_KEPT = 20_000;

/** A dial must be answered by the fleet within this time, else the provider is told to try again. */
export const FLEET_ANSWER_TIMEOUT_MS = 2_000;

/** How long a request of a limited key waits for the answer about its limits, before it goes on without. */
export const RATE_ANSWER_TIMEOUT_MS = 1_000;

/** Delay before changes of a limited key's window are saved; a reset loses at most as much. */
export const RATE_SAVE_MS = 2_000;

/** How long the window of a deleted key is kept: longer than any request with it may run. */
export const DELETED_KEY_MS = 3_600_000;

/** What clients are told of the capacity is read from the pools at most this often, and never older than twice that. */
export const CAPACITY_TTL_MS = 2_000;

/** A pool that has not answered by then is left out of it. */
export const CAPACITY_ANSWER_MS = 1_500;

/** How long a report of the whole fleet waits for a pool. */
export const VIEW_POOLS_MS = 5_000;

/** Pools that have not answered a scrape of the metrics by then are missing; the fleet has to answer a little later. */
export const SCRAPE_POOLS_MS = 3_000;
export const SCRAPE_FLEET_MS = 4_000;

/** Longest time that cached counters of a pool are used, even if it has reported no demand. */
export const IDLE_TOTALS_MS = 3_600_000;

/** A pool's refusal may be repeated at the edge for this long at most. */
export const LONGEST_VERDICT_MS = 1_000;

/** Least `Retry-After` for a pool that the platform reports as overloaded: it measures over ten seconds. */
export const OVERLOAD_WAIT_S = 5;

/** Delay before the edge reports its own refusals to the pools, and the interval and number of retries. */
export const TALLY_FLUSH_MS = 500;
export const TALLY_RETRY_MS = 1_000;
export const TALLY_TRIES = 20;

/** Verdicts that one isolate keeps: of as many models, and of keys where they hold for one. */
export const EDGE_VERDICTS_MAX = 1_000;

/** Counts that one isolate keeps until then: of as many keys, models and reasons. */
export const EDGE_TALLY_MAX = 1_000;

/** Entries of lists and fields of objects in what a client or operator sends: those of some ten thousand messages. */
export const MAX_JSON_VALUES = 65_536;

/** Text and calls of an answer of the Responses API: of a million tokens. */
export const ANSWER_CHARS_MAX = 4 * 1024 * 1024;

/** One WebSocket of the Responses API lasts this long and takes this many requests: the platform limits what one may do. */
export const RESPONSES_CONNECTION_MS = 3_600_000;
export const RESPONSES_PER_CONNECTION = 1_000;

/** Requests that may wait on such a connection, with at most the length of one body together. */
export const WAITING_ON_CONNECTION_MAX = 16;

/** JSON that one such connection remembers: twice what the longest context of 128 k tokens comes to. */
export const REMEMBERED_CHARS_MAX = 1024 * 1024;
export const REMEMBERED_LANES_MAX = 32;

/** How long the location of an owner's machines is cached (H21). */
export const OWNED_MACHINES_TTL_MS = 5_000;

/** KV refuses a second write of the same key within a second. */
export const KV_WRITE_GAP_MS = 1_100;

/** A catalog read from KV is used this long before somebody reads it again: KV itself shows a change after a minute only. */
export const CATALOG_TTL_MS = 5_000;

/** While somebody reads it again, the others may use the one they have until it is this old. */
export const CATALOG_STALE_MS = 10_000;

/** Changes of what one machine holds that a pool takes within a minute; then its socket is closed. */
export const MAX_CHANGES_PER_MINUTE = 60;

/** Dials of one machine to one pool within a minute; more are refused with `slow_down`. */
export const MAX_DIALS_PER_MINUTE = 30;

/** The same of one owner's machines that have not registered yet, to whatever pool. */
export const MAX_NEW_DIALS_PER_MINUTE = 3_000;

/** Machines that one owner may have. The fleet keeps what each has said, up to 16 KB, in its memory for ever. */
export const MACHINES_PER_OWNER_MAX = 10_000;

/** Bytes of a streamed answer per token at most: an event each, with all that clients want around a token. */
export const STREAM_BYTES_PER_TOKEN = 256;

/** Highest plausible speeds of a machine in tokens per second, several times those with a model of a few million weights. */
export const FASTEST_DECODE_TPS = 10_000;
export const FASTEST_PREFILL_TPS = 250_000;

/** Bytes of JSON per token of a prompt, for estimates made before a machine has counted. */
export const BYTES_PER_TOKEN = 4;

assert(LIVENESS_TIMEOUT_MS >= 3 * PING_INTERVAL_MS, "one lost ping must not cost a machine its requests");
assert(ACCEPT_TIMEOUT_MS < REQUEST_DEADLINE_MS / MAX_ATTEMPTS, "every attempt must have time to be refused");
assert(
  IDLE_TICK_MS < SUPPLY_FRESH_MS,
  "what pools know of the supply must not go stale while the fleet is idle",
);
assert(
  2 * MAX_REQUEST_BODY_BYTES <= HELD_LONG_BODIES_BYTES_MAX,
  "one client's longest body must not keep all others out",
);
assert(CAPACITY_ANSWER_MS < FLEET_ANSWER_TIMEOUT_MS, "one silent pool must not hide the others");
assert(SCRAPE_POOLS_MS < SCRAPE_FLEET_MS, "one silent pool must not hide the others");
assert(SCRAPE_FLEET_MS + SCRAPE_POOLS_MS < 10_000, "Prometheus gives a scrape up after 10 s");
assert(TICK_INTERVAL_MS * 4 <= COMMENT_INTERVAL_MS, "comments must come nearly on time");
