import { TASK_STATUSES, type TaskStatus } from "../../task.ts";

/** Whose tasks are counted together. */
export interface Owner {
  readonly user: string;
  readonly team: string | null;
}

/** A change of the number of tasks of a user and its team in a status. */
export type CountChange = readonly [owner: Owner, status: TaskStatus, difference: number];

/** The stored tasks of a user or of a team in a status. */
export interface Counted {
  readonly name: string;
  readonly status: TaskStatus;
  readonly count: number;
}

type ByStatus = Map<TaskStatus, number>;

/**
 * The number of tasks of each user and of each team in each status, so that a total costs the same however many rows there are. Names are as
 * databases keep them: half a surrogate pair is U+FFFD.
 */
export class Counts {
  readonly #all: ByStatus = new Map();
  readonly #byUser = new Map<string, ByStatus>();
  readonly #byTeam = new Map<string, ByStatus>();

  add({ user, team }: Owner, status: TaskStatus, difference: number): void {
    addTo(this.#all, status, difference);
    addTo(countsOf(this.#byUser, user.toWellFormed()), status, difference);
    if (team !== null) addTo(countsOf(this.#byTeam, team.toWellFormed()), status, difference);
  }

  /** Takes what is stored. */
  take({ users, teams }: { readonly [Of in "users" | "teams"]: Iterable<Counted> }): void {
    for (const { name, status, count } of users) this.add({ user: name, team: null }, status, count);
    for (const { name, status, count } of teams) addTo(countsOf(this.#byTeam, name), status, count);
  }

  apply(changes: readonly CountChange[]): void {
    for (const change of changes) this.add(...change);
  }

  /** Tasks of that user or that team, one of them alone, or of everybody, in that status (undefined: any). */
  total({ user, team }: { readonly [Of in keyof Owner]?: string | undefined }, status: TaskStatus | undefined): number {
    let counts: ByStatus | undefined = this.#all;
    if (team !== undefined) counts = this.#byTeam.get(team.toWellFormed());
    else if (user !== undefined) counts = this.#byUser.get(user.toWellFormed());
    const wanted: readonly TaskStatus[] = status === undefined ? TASK_STATUSES : [status];
    return wanted.reduce<number>((sum, one) => sum + (counts?.get(one) ?? 0), 0);
  }
}

function countsOf(all: Map<string, ByStatus>, name: string): ByStatus {
  let counts = all.get(name);
  if (counts === undefined) {
    counts = new Map();
    all.set(name, counts);
  }
  return counts;
}

function addTo(counts: ByStatus, status: TaskStatus, difference: number): void {
  counts.set(status, (counts.get(status) ?? 0) + difference);
}
