import type { FleetFile } from "./fleet-file.ts";
import type { Random } from "./random.ts";

/** A machine is gone from minute `from` on and back at minute `until`. Drawn before the replay: the same for all. */
export interface Outage {
  readonly machine: number;
  readonly from: number;
  readonly until: number;
}

export function outagesOf(fleet: FleetFile, machines: number, minutes: number, random: Random): Outage[] {
  const drawn: Outage[] = [];
  if (fleet.churn) {
    const { mean_hours, away_minutes_min, away_minutes_max } = fleet.churn;
    for (let machine = 0; machine < machines; machine += 1) {
      let minute = 0;
      for (;;) {
        minute += 1 + Math.floor(-Math.log(1 - random()) * mean_hours * 60);
        if (minute >= minutes) break;
        const away = away_minutes_min + Math.floor(random() * (away_minutes_max - away_minutes_min + 1));
        drawn.push({ machine, from: minute, until: minute + away });
        minute += away;
      }
    }
  }
  for (const { at_minute, share, away_minutes } of fleet.mass_disconnects) {
    const order = Array.from({ length: machines }, (_, machine) => ({ machine, key: random() }));
    order.sort((a, b) => a.key - b.key);
    for (const { machine } of order.slice(0, Math.max(1, Math.round(share * machines)))) {
      drawn.push({ machine, from: Math.max(1, at_minute), until: Math.max(1, at_minute) + away_minutes });
    }
  }
  return merged(drawn);
}

/** Overlapping outages of one machine become one. */
function merged(outages: readonly Outage[]): Outage[] {
  const sorted = [...outages].sort((a, b) => a.machine - b.machine || a.from - b.from);
  const result: Outage[] = [];
  for (const outage of sorted) {
    const last = result.at(-1);
    if (last && last.machine === outage.machine && outage.from <= last.until) {
      result[result.length - 1] = { ...last, until: Math.max(last.until, outage.until) };
    } else result.push(outage);
  }
  return result;
}
