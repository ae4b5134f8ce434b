/** Wishes of waiting tasks for the models that come and go. */
import { hasFailed } from "./attempts.ts";
import type { Caller, Callers } from "./callers.ts";
import { type Demand, demandOf } from "./demand.ts";
import type { Eligibility } from "./eligibility.ts";
import type { Fleet } from "./fleet.ts";
import type { Instance } from "./placement.ts";
import type { Team } from "./teams.ts";
import { type Entry, firstOf, type Line, tasksOf, type Waiting } from "./waiting.ts";

export interface WishParts {
  readonly fleet: Fleet;
  readonly waiting: Waiting;
  readonly eligibility: Eligibility;
  readonly callers: Callers;
}

/** Tasks that wait for the same, or an operator who does. */
export interface Wish {
  /** The oldest of the tasks; null: an operator's. */
  readonly entry: Entry | null;
  /** Name of the model that they want; null: any. */
  readonly model: string | null;
  /** Entries that may run as soon as there is room for them. */
  readonly count: number;
  /** Milliseconds of the server's clock. */
  readonly since: number;
  /** All that may serve it. */
  readonly instances: readonly Instance[];
}

/** A wish of tasks, while it is being put together. */
interface Draft {
  readonly line: Line;
  entry: Entry;
  count: number;
  since: number;
}

/** The wishes of all that waits, without callers and teams that may run no more now. Those of several callers and priorities are one. */
export function wishesOf(parts: WishParts): Wish[] {
  const drafts = new Map<Demand, Map<string, Draft>>();
  const alone: Draft[] = [];
  /** How many more tasks a caller or a team may run, beside those that are counted already. */
  const allowed = new Map<Caller | Team, number>();
  parts.waiting.eachLine((line) => {
    const { front } = line;
    const task = firstOf(front);
    const caller = parts.callers.of(task);
    const team = parts.callers.teams.of(task);
    const left = allowed.get(caller) ?? roomOf(caller.limits, caller.running.size);
    const ofTeam = team === null ? Infinity : (allowed.get(team) ?? roomOf(team.limits, team.running));
    const count = Math.min(line.count, left, ofTeam);
    allowed.set(caller, left - count);
    if (team !== null) allowed.set(team, ofTeam - count);
    if (count === 0) return;
    const draft = { line, entry: front, count, since: task.waitsSince };
    // Where it may run depends on where it has failed.
    if (tasksOf(front).some(hasFailed)) alone.push(draft);
    else join(drafts, draft);
  });
  const all = [...alone, ...[...drafts.values()].flatMap((byPlace) => [...byPlace.values()])];
  return all.map((draft) => wishOf(draft, parts));
}

function roomOf({ maxRunning }: { readonly maxRunning: number | null }, running: number): number {
  return maxRunning === null ? Infinity : Math.max(0, maxRunning - running);
}

function join(drafts: Map<Demand, Map<string, Draft>>, draft: Draft): void {
  const { demand, place } = draft.line;
  let byPlace = drafts.get(demand);
  if (byPlace === undefined) drafts.set(demand, (byPlace = new Map()));
  const known = byPlace.get(place);
  if (known === undefined) {
    byPlace.set(place, draft);
    return;
  }
  known.count += draft.count;
  if (draft.since >= known.since) return;
  known.since = draft.since;
  known.entry = draft.entry;
}

function wishOf({ line: { demand }, entry, count, since }: Draft, { fleet, eligibility }: WishParts): Wish {
  const all = fleet.suitableFor(demand)?.instances ?? fleet.all;
  const task = firstOf(entry);
  const isAnywhere = task.boundTo === null && task.strategy !== "task_specific";
  const instances = isAnywhere
    ? all
    : all.filter((instance) => eligibility.isAllowed(instance, task, demandOf(tasksOf(entry))));
  return { entry, model: demand.model, count, since, instances };
}
