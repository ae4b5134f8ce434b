/**
 * The limits of teams, which their members share: a submission needs room in its caller's limits and in its team's. Members take turns as
 * callers do everywhere; a team has no share of its own. A task counts for the team that its user was in when it submitted it.
 */
import type { Task } from "../task.ts";
import { DrainRate } from "./drain-rate.ts";
import { type Limited, MinuteLimits, type PerMinute } from "./minute-limits.ts";

/** Of all members together; null: no limit. */
export interface TeamLimits extends PerMinute {
  /** Tasks that may wait. */
  readonly maxQueued: number | null;
  readonly maxRunning: number | null;
}

export interface TeamRules {
  /** null: it has no limits. */
  readonly limitsOf: (team: string) => TeamLimits | null;
  /** The teams that have some. */
  readonly named: readonly string[];
}

export interface TeamFacts {
  readonly name: string;
  /** Tasks that run, and tasks that wait. */
  readonly running: number;
  readonly queued: number;
  readonly limits: TeamLimits;
}

const NO_LIMITS: TeamLimits = { maxQueued: null, maxRunning: null, requestsPerMinute: null, tokensPerMinute: null };

/** One team's account. */
export class Team implements Limited {
  readonly name: string;
  limits: TeamLimits;
  /** Tasks that run, and tasks that wait. */
  running = 0;
  queued = 0;
  readonly perMinute: MinuteLimits;
  readonly drainRate: DrainRate;

  /** @param now Unix milliseconds */
  constructor(name: string, limits: TeamLimits, now: () => number) {
    this.name = name;
    this.limits = limits;
    this.perMinute = new MinuteLimits(limits, now());
    this.drainRate = new DrainRate(now);
  }

  get title(): string {
    return `The team ${this.name}`;
  }

  /** Whether its members may have no more tasks running. */
  get isCapped(): boolean {
    return this.limits.maxRunning !== null && this.running >= this.limits.maxRunning;
  }

  placeOf(key: string): string {
    return `callers.teams.${this.name}.${key}`;
  }

  waits(): void {
    this.drainRate.enters();
    this.queued++;
  }

  leavesQueue(): void {
    this.drainRate.leaves();
    this.queued--;
  }
}

export class Teams {
  #rules: TeamRules | null;
  /** Unix milliseconds. */
  readonly #now: () => number;
  readonly #byName = new Map<string, Team>();

  /** @param rules null: no team has limits */
  constructor(rules: TeamRules | null, now: () => number) {
    this.#rules = rules;
    this.#now = now;
  }

  /** The team of a task or a caller; null: it is in none. */
  of({ team }: Pick<Task, "team">): Team | null {
    return team === null ? null : (this.#byName.get(team) ?? this.#new(team));
  }

  /** All may have other limits from now on. */
  renew(rules: TeamRules | null): void {
    this.#rules = rules;
    for (const team of this.#byName.values()) {
      team.limits = rules?.limitsOf(team.name) ?? NO_LIMITS;
      team.perMinute.limit(team.limits, this.#now());
    }
  }

  /** Those that have limits or have sent something, by their names. */
  facts(): readonly TeamFacts[] {
    for (const name of this.#rules?.named ?? []) this.of({ team: name });
    return [...this.#byName.values()]
      .map(({ name, running, queued, limits }) => ({ name, running, queued, limits }))
      .toSorted((one, other) => (one.name < other.name ? -1 : 1));
  }

  #new(name: string): Team {
    const team = new Team(name, this.#rules?.limitsOf(name) ?? NO_LIMITS, this.#now);
    this.#byName.set(name, team);
    return team;
  }
}
