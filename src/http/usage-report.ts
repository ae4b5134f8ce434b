/** Reads usage and puts it together as it was asked for. */
import { AltLasError } from "../errors.ts";
import { isoTime } from "../common/clock.ts";
import { mapInTurns, nextTurn, SMALL_AT_ONCE, sortedInTurns } from "../common/turns.ts";
import { HOUR, type Zone } from "../common/zone.ts";
import {
  addUsage,
  noUsage,
  type UsageColumn,
  type UsageKey,
  type UsageRow,
  type UsageStore,
  type UsageSums,
} from "../store/usage.ts";
import { rounded } from "./use-views.ts";
import type { UsageAnswer, UsageBy, UsageRowView, UsageTotal } from "./schemas/usage.ts";

/** Rows of an answer; more would take it long to make, and nobody reads them. */
const MOST_ROWS = 20_000;

export interface UsageQuestion {
  /** Hours of Unix time; `to` is the first one that does not count. */
  readonly from: number;
  readonly to: number;
  readonly zone: Zone;
  readonly by: readonly UsageBy[];
  /** undefined: everybody's. */
  readonly user: string | undefined;
  /** undefined: of all teams, and of none. */
  readonly team: string | undefined;
}

/** @throws {AltLasError} `invalid_input`: it would have too many rows */
export async function reportOf(
  usage: UsageStore,
  { from, to, zone, by, user, team }: UsageQuestion,
  mostRows = MOST_ROWS,
): Promise<UsageAnswer> {
  const columns = new Set(by.map((one): UsageColumn => (one === "day" ? "hour" : one)));
  const groups = new Map<string, { readonly key: readonly Key[]; readonly sums: UsageSums }>();
  const total = noUsage();
  for await (const part of usage.sums({ from, to, user, team, by: [...columns] })) {
    for (const [index, row] of part.entries()) {
      if (index > 0 && index % SMALL_AT_ONCE === 0) await nextTurn();
      const key = by.map((one) => keyOf(one, row, zone));
      const name = JSON.stringify(key);
      let group = groups.get(name);
      if (group === undefined) groups.set(name, (group = { key, sums: noUsage() }));
      addUsage(group.sums, row);
      addUsage(total, row);
    }
    if (groups.size > mostRows) throw tooMany(mostRows);
  }
  const sorted = await sortedInTurns([...groups.values()], (one, other) => order(one.key, other.key));
  return {
    from: isoTime(from * HOUR),
    to: isoTime(to * HOUR),
    tz: zone.name,
    by: [...by],
    rows: await mapInTurns(sorted, ({ key, sums }) => viewOf(by, key, sums), SMALL_AT_ONCE),
    total: totalOf(total),
  };
}

type Key = string | number | null;

function keyOf(by: UsageBy, row: UsageKey, zone: Zone): Key {
  if (by === "day") return zone.dayOf(row.hour!);
  return by === "hour" ? isoTime(row.hour! * HOUR) : row[by];
}

/** Nothing first; all of one place are of one type. */
function order(one: readonly Key[], other: readonly Key[]): number {
  for (const [place, key] of one.entries()) {
    const against = other[place]!;
    if (key === against) continue;
    if (key === null || against === null) return key === null ? -1 : 1;
    return key < against ? -1 : 1;
  }
  return 0;
}

function viewOf(by: readonly UsageBy[], key: readonly Key[], sums: UsageSums): UsageRowView {
  return { ...totalOf(sums), ...Object.fromEntries(by.map((one, place) => [one, key[place]])) };
}

function totalOf(sums: UsageSums | UsageRow): UsageTotal {
  const { completed, failed, canceled, promptTokens, completionTokens, cachedTokens, energyJoules } = sums;
  return {
    tasks: completed + failed + canceled,
    completed,
    failed,
    canceled,
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    cached_tokens: cachedTokens,
    gpu_seconds: rounded(sums.gpuSeconds),
    energy_joules: energyJoules === null ? null : rounded(energyJoules),
    queued_seconds: rounded(sums.queuedSeconds),
  };
}

function tooMany(most: number): AltLasError {
  const sentence = `by would make more than ${most} rows of this time; name a shorter time (from, to), or less in by.`;
  return new AltLasError("invalid_input", sentence, { param: "by" });
}
