/** @import { Explanation } from "../core/fleet/explain.ts" */
/** @import { PlacementReport } from "../core/fleet/placement-report.ts" */
/** @import { FlagView } from "../core/fleet/flag-book.ts" */
/** @import { MachineRow, Utilization } from "../core/fleet/utilization.ts" */
/** @import { Api } from "./api.js" */
/** @import { LastRefusal } from "./refusals.js" */
import { lastRefusals } from "./refusals.js";

/**
 * Everything that the page shows, as it was at one moment. All of it is what the admin API gives to everybody with the
 * token; the page knows nothing more.
 */

/**
 * One row of `GET /v1/admin/usage`.
 * @typedef {object} UsageRow
 * @property {string} model_id
 * @property {number} hour_at
 * @property {string} key_id
 * @property {string} outcome
 * @property {number} requests
 * @property {number} prompt_tokens
 * @property {number} completion_tokens
 */

/**
 * @typedef {object} Usage
 * @property {readonly UsageRow[]} rows
 * @property {number} readAt by the clock of the browser
 * @property {number} asOf the same by that of the coordinator
 * @property {ReadonlyMap<string, LastRefusal>} refused by model
 */

/**
 * @typedef {object} Snapshot
 * @property {Utilization} utilization
 * @property {PlacementReport} placement
 * @property {readonly FlagView[]} flags
 * @property {Usage | null} usage null if it could not be read yet
 */

/**
 * What a model would be worth on a machine; without requests an hour if it cannot hold it.
 * @typedef {{ model_id: string, on_disk: boolean, holds: boolean, requests_per_hour: number | null,
 *   obstacle: string | null }} UsefulModel
 */

/**
 * `GET /v1/admin/machines/{id}`.
 * @typedef {MachineRow & {
 *   explanation: Explanation, stays_because: string | null, useful_models?: readonly UsefulModel[], version: string | null, models: readonly string[],
 *   quarantined: boolean, private_only: boolean, unreachable_pools: readonly string[],
 *   order: { reason: string, phase: string, outcome: string | null, error: string | null,
 *     waiting_for: readonly string[], pinned: boolean } | null,
 * }} MachineDetails
 */

/** Usage is by the hour and long; it need not be read as often as the rest. */
const USAGE_TTL_MS = 60_000;

/**
 * @param {Api} api
 * @param {Snapshot | null} known
 * @param {number} now
 * @returns {Promise<Snapshot>}
 */
export async function readSnapshot(api, known, now) {
  const before = known?.usage ?? null;
  const [utilization, placement, { flags }, rows] = await Promise.all([
    api.utilization(),
    api.placement(),
    api.flags(),
    readUsage(api, before, now),
  ]);
  const usage =
    rows === null
      ? before
      : {
          rows,
          readAt: now,
          asOf: utilization.at,
          refused: lastRefusals(rows, utilization.at, before?.refused),
        };
  return { utilization, placement, flags, usage };
}

/**
 * One pool that does not answer makes this fail, and must not take the rest of the page with it.
 * @param {Api} api
 * @param {Usage | null} known
 * @param {number} now
 * @returns {Promise<readonly UsageRow[] | null>} null if what is known still counts
 */
async function readUsage(api, known, now) {
  if (known !== null && now - known.readAt < USAGE_TTL_MS) return null;
  try {
    return (await api.usage()).usage;
  } catch {
    return null;
  }
}
