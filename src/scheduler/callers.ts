/**
 * The running, allowed and past work of each caller.
 *
 * Fairness is start-time fair queueing (Goyal, Vin and Cheng, 1996): each caller has a tag, the work it was given divided by its weight,
 * and a free slot goes to the lowest tag that has a task for it. Work is tokens: estimated when a task starts, corrected when it ends.
 *  1. A caller that becomes active starts at the tag served last, so idle time earns no credit.
 *  2. A caller that could not be served for long, because its GPU was lost, may not make up for it at the cost of the others. Its tag is
 *     raised until it is behind the highest by no more than wrong estimates can explain.
 */
import type { Clock } from "../common/clock.ts";
import type { Task, TaskResult } from "../task.ts";
import { AnswerLengths } from "./answer-lengths.ts";
import { Budgets } from "./budgets.ts";
import type { BudgetRules } from "./budget-kinds.ts";
import { DrainRate } from "./drain-rate.ts";
import { estimateOf, estimateOfAll } from "./estimates.ts";
import { type Limited, MinuteLimits, type PerMinute, type Rates, refuseOverMinute, tighter } from "./minute-limits.ts";
import { type Rank, Ranking } from "./ranking.ts";
import { type TeamRules, Teams } from "./teams.ts";

/** Of one caller; null: no limit. */
export interface CallerLimits extends PerMinute {
  readonly weight: number;
  /** Tasks that may wait; null: the default share of the queue, see `queueShare`. */
  readonly maxQueued: number | "unlimited" | null;
  /** Where `maxQueued` is set, like `callers.users.bob.max_queued`. */
  readonly maxQueuedKey: string;
  readonly maxRunning: number | null;
  /** Bytes that the texts of its stored tasks may have, and where that is set; absent: no limit. */
  readonly maxStored?: { readonly bytes: number; readonly setIn: string } | null;
}

/** One caller's account. */
export class Caller implements Limited {
  readonly name: string;
  /** Unique: callers are numbered as they come. */
  readonly number: number;
  limits: CallerLimits;
  /** By the ids of its running tasks: the work that they were estimated at. */
  readonly running = new Map<string, number>();
  /** Tasks that wait. */
  queued = 0;
  /** Bytes of their texts in UTF-8. */
  queuedBytes = 0;
  /** Bytes of the heap that they take, without their texts. */
  queuedHeap = 0;
  /** No waiting task of it has a lower `seq`. */
  oldest = Infinity;
  /** The work that it was given, divided by its weight. */
  tag = 0;
  /** Its place among those that want or have slots; null: it does neither. */
  rank: Rank<Caller> | null = null;
  readonly perMinute: MinuteLimits;
  readonly drainRate: DrainRate;
  readonly answers = new AnswerLengths();

  /** @param now Unix milliseconds */
  constructor(name: string, number: number, limits: CallerLimits, now: () => number) {
    this.name = name;
    this.number = number;
    this.limits = limits;
    this.drainRate = new DrainRate(now);
    this.perMinute = new MinuteLimits(limits, now());
  }

  get title(): string {
    return this.name;
  }

  placeOf(key: string): string {
    return `callers: ${key}`;
  }

  /** It has other limits from now on. @param now Unix milliseconds */
  limit(limits: CallerLimits, now: number): void {
    this.limits = limits;
    this.perMinute.limit(limits, now);
  }

  /** Whether it wants or has slots. */
  get isActive(): boolean {
    return this.queued > 0 || this.running.size > 0;
  }

  /** Whether it may have no more tasks running. */
  get isCapped(): boolean {
    return this.limits.maxRunning !== null && this.running.size >= this.limits.maxRunning;
  }
}

/** The limits and budgets of callers and teams. */
export interface CallerRules {
  readonly limitsOf: (user: string) => CallerLimits;
  /** null, absent: nobody has a budget. */
  readonly budgets?: BudgetRules | null;
  /** null, absent: no team has limits. */
  readonly teams?: TeamRules | null;
}

export class Callers {
  /** Of all of them together. */
  readonly drainRate: DrainRate;
  readonly budgets: Budgets;
  readonly teams: Teams;
  #limitsOf: (user: string) => CallerLimits;
  /** Unix milliseconds. */
  readonly #now: () => number;
  readonly #byName = new Map<string, Caller>();
  /** The one that was asked for last: an event is about one caller, and asks for it many times. */
  #last: Caller | null = null;
  /** Those that want or have slots. */
  readonly #ranking = new Ranking<Caller>();
  /** The tokens taken for a task at its admission, where its caller has a limit of tokens a minute. */
  readonly #estimates = new WeakMap<Task, number>();
  /** The tag that was served last. */
  #served = 0;
  /**
   * How far tags may still sink: the sum of all running tasks' estimates, each divided by its caller's weight. Then the highest value of
   * this so far.
   */
  #uncertain = 0;
  #mostUncertain = 0;

  constructor({ limitsOf, budgets = null, teams = null }: CallerRules, clock: Clock) {
    const now = (): number => clock.now();
    this.#limitsOf = limitsOf;
    this.#now = now;
    this.drainRate = new DrainRate(now);
    this.budgets = new Budgets(budgets, clock);
    this.teams = new Teams(teams, now);
  }

  of({ user }: Pick<Task, "user">): Caller {
    if (this.#last?.name === user) return this.#last;
    let caller = this.#byName.get(user);
    if (caller === undefined) {
      caller = new Caller(user, this.#byName.size, this.#limitsOf(user), this.#now);
      this.#byName.set(user, caller);
    }
    this.#last = caller;
    return caller;
  }

  /** All that have been asked about since the start, in the order in which they came. */
  get all(): Iterable<Caller> {
    return this.#byName.values();
  }

  /** All may have other limits from now on. A weight counts for what is yet to be given, and not for what was. */
  renew({ limitsOf, budgets = null, teams = null }: CallerRules): void {
    this.#limitsOf = limitsOf;
    this.teams.renew(teams);
    this.budgets.renew(budgets);
    for (const caller of this.#byName.values()) {
      const before = caller.limits.weight;
      caller.limit(limitsOf(caller.name), this.#now());
      const running = caller.running.values().reduce((sum, work) => sum + work, 0);
      this.#uncertain += running / caller.limits.weight - running / before;
    }
    this.#mostUncertain = Math.max(this.#mostUncertain, this.#uncertain);
  }

  // --- limits for each minute ------------------------------------------------------------------------------------

  /** Counts one submission. @param team of the user @throws {AltLasError} `rate_limited` */
  countRequest(user: string, team: string | null = null): void {
    const limits = [this.of({ user }), this.teams.of({ team })];
    if (limits.every((one) => one === null || one.perMinute.requests === null)) return;
    this.refuseOverRequests(user, team);
    const now = this.#now();
    for (const one of limits) one?.perMinute.requests?.take(1, now);
  }

  /** @throws {AltLasError} `rate_limited`: the user, or its team, may submit nothing more in this minute */
  refuseOverRequests(user: string, team: string | null = null): void {
    refuseOverMinute("requests", 1, [this.of({ user }), this.teams.of({ team })], this.#now());
  }

  /** How much a user may still have in this minute, of its own limits and its team's; null: there is no limit. */
  ratesOf(user: string, team: string | null = null): Rates {
    const { perMinute } = this.of({ user });
    const ofTeam = this.teams.of({ team })?.perMinute;
    const now = this.#now();
    return {
      requests: tighter(perMinute.requests?.level(now) ?? null, ofTeam?.requests?.level(now) ?? null),
      tokens: tighter(perMinute.tokens?.level(now) ?? null, ofTeam?.tokens?.level(now) ?? null),
    };
  }

  /**
   * Takes the tokens of new tasks of one caller, as estimated.
   * @throws {AltLasError} as `refuseOverTokens`; then they count for nothing
   */
  admit(tasks: readonly Task[], context: number | null): void {
    const work = this.refuseOverTokens(tasks, context);
    this.budgets.reserve(tasks, context);
    if (work === null) return;
    for (const task of tasks) this.#estimates.set(task, estimateOf(task, context));
    this.#takeTokens(tasks[0]!, work);
  }

  /**
   * @returns the tokens of new tasks, as estimated; null: nobody has limited them for a minute
   * @throws {AltLasError} `rate_limited`: the user or its team has not so many left in this minute; as `Budgets.refuseOver`
   */
  refuseOverTokens(tasks: readonly Task[], context: number | null): number | null {
    this.budgets.refuseOver(tasks, context);
    const caller = this.of(tasks[0]!);
    const team = this.teams.of(tasks[0]!);
    if (caller.perMinute.tokens === null && (team === null || team.perMinute.tokens === null)) return null;
    const work = estimateOfAll(tasks, context);
    refuseOverMinute("tokens", work, [caller, team], this.#now());
    return work;
  }

  /** Gives back the tokens of new tasks that are refused after all. */
  refuse(tasks: readonly Task[]): void {
    this.budgets.refuse(tasks);
    for (const task of tasks) this.#settle(task, 0);
  }

  // --- shares ----------------------------------------------------------------------------------------------------

  /** Whether the caller of a task, or its team, may have no more tasks running. */
  isCapped(task: Task): boolean {
    return this.of(task).isCapped || this.teams.of(task)?.isCapped === true;
  }

  /** The active callers, in the order in which a free slot is offered to them. */
  get ranking(): Iterable<Rank<Caller>> {
    return this.#ranking;
  }

  /** A task begins to wait. @param bytes of its text @param heap what else it takes of the heap */
  waits(task: Task, bytes: number, heap: number): void {
    const caller = this.of(task);
    caller.drainRate.enters();
    this.drainRate.enters();
    caller.queuedBytes += bytes;
    caller.queuedHeap += heap;
    if (caller.queued === 0) {
      caller.tag = Math.max(caller.tag, this.#served); // 1
      caller.oldest = task.seq;
    }
    caller.oldest = Math.min(caller.oldest, task.seq);
    caller.queued++;
    this.teams.of(task)?.waits();
    this.#rank(caller);
  }

  /** A task waits no more. @param bytes @param heap as of `waits` */
  leavesQueue(task: Task, bytes: number, heap: number): void {
    const caller = this.of(task);
    caller.drainRate.leaves();
    this.drainRate.leaves();
    caller.queuedBytes -= bytes;
    caller.queuedHeap -= heap;
    if (caller.oldest === task.seq) caller.oldest++;
    caller.queued--;
    this.teams.of(task)?.leavesQueue();
    if (!caller.isActive) this.#rank(caller);
  }

  /** A task that waited has got a slot. */
  served(task: Task): void {
    this.of(task).drainRate.starts();
    this.teams.of(task)?.drainRate.starts();
    this.drainRate.starts();
  }

  /** A task gets a slot. @param context tokens that fit into it; null: not known */
  starts(task: Task, context: number | null): void {
    const caller = this.of(task);
    const { weight } = caller.limits;
    if (caller.queued === 0) caller.tag = Math.max(caller.tag, this.#served); // 1
    const known = caller.perMinute.tokens === null ? undefined : this.#estimates.get(task);
    const work = known ?? estimateOf(task, context);
    this.#uncertain += work / weight;
    this.#mostUncertain = Math.max(this.#mostUncertain, this.#uncertain);
    // Twice: its own tag may have sunk by so much, and the highest tag may still sink by as much.
    caller.tag = Math.max(caller.tag, this.#ranking.highest - 2 * this.#mostUncertain); // 2
    this.#served = caller.tag;
    caller.running.set(task.id, work);
    const team = this.teams.of(task);
    if (team !== null) team.running++;
    caller.tag += work / weight;
    this.#rank(caller);
  }

  /** A task gives its slot back. @param work tokens that it really took; null: not known, so the estimate stands */
  stops(task: Task, work: number | null): void {
    const caller = this.of(task);
    const estimate = caller.running.get(task.id);
    if (estimate === undefined) return;
    caller.running.delete(task.id);
    const team = this.teams.of(task);
    if (team !== null) team.running--;
    caller.tag += ((work ?? estimate) - estimate) / caller.limits.weight;
    this.#uncertain -= estimate / caller.limits.weight;
    this.#rank(caller);
  }

  /** A task has ended for good. @param work as of `stops` */
  ended(task: Task, work: number | null): void {
    if (work !== null) this.#settle(task, work);
  }

  /** Moves a caller to the place that its tag and its oldest task give it. */
  #rank(caller: Caller): void {
    const { rank, tag, oldest, isActive } = caller;
    if (isActive && rank?.tag === tag && rank.oldest <= oldest) return;
    if (rank !== null) this.#ranking.remove(rank);
    caller.rank = isActive ? { caller, tag, oldest } : null;
    if (caller.rank !== null) this.#ranking.add(caller.rank);
  }

  #settle(task: Task, work: number): void {
    const estimate = this.#estimates.get(task);
    // No tokens were taken for tasks that an earlier server admitted, nor where they have no limit.
    if (estimate === undefined) return;
    this.#takeTokens(task, work - estimate);
    this.#estimates.delete(task);
  }

  #takeTokens(task: Task, work: number): void {
    this.of(task).perMinute.tokens?.take(work, this.#now());
    this.teams.of(task)?.perMinute.tokens?.take(work, this.#now());
  }
}

/** Tokens that a run took. */
export function workOf({ promptTokens, completionTokens }: TaskResult): number {
  return (promptTokens ?? 0) + completionTokens;
}
