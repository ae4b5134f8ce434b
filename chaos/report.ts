/** What the server promises, how often that was looked at, and what was found broken. */

/** Each promise that is checked, by the name under which it is counted. */
export const PROMISES = {
  kept: "a task whose submission was answered exists until it is removed",
  ended: "every task comes to an end when it is let",
  final: "a final status and what belongs to it never change",
  run: "there is no result without a run on the GPU that it names",
  text: "a text is what the engine gives for the prompt; that of a task cut short is its beginning",
  attempts: "attempts come one after the other, and only that of a running task is open",
  late: "a task whose time is up is given to no GPU",
  failure: "a task fails only for the reasons there are, with the attempts that the rules ask for",
  innocent: "no task is called poison for deaths that others have caused",
  canceled: "a task is canceled only if somebody asked for it",
  pinned: "a task that names a GPU runs there or nowhere",
  slots: "a GPU never runs more tasks than it has slots",
  alone: "a task under which a worker died runs alone from then on",
  capped: "a user never has more tasks running than it may",
  free: "when all has ended every slot is free",
  ready: "each GPU serves again",
  placed: "each placed event is an attempt of the task, on that GPU",
  stream: "the text of a stream is the text of the task",
  numbers: "the numbers of a response's events grow, whoever comes back and after any restart",
  files: "a file that was taken stays as it was sent",
  lines: "each line of a batch file is answered once, by one attempt, in its output or its errors",
  key: "one Idempotency-Key makes its tasks once",
  told: "there is no task that nobody was told of",
  refused: "a refused submission makes nothing",
  valid: "what is in order is not refused as if it were not",
  answer: "every request is answered, and never with a 500, while the server lives",
  lives: "the server never ends by itself",
  stops: "SIGTERM ends the server with exit code 0",
  orphans: "no worker outlives its server",
  stalled: "a worker that stalls is replaced",
  batch: "the counts of a batch are those of its tasks",
  results: "the results of a batch have each of its tasks once",
  webhook: "the end of a task or batch reaches its webhook",
  signature: "webhooks carry a right signature",
  removed: "a removed task is gone",
  sound: "a database that is in order is never taken for a damaged one",
  gone: "files that go away are noticed, nothing is accepted or made again without them, and the server ends with exit code 1",
  times: "the times shown of one task never go backwards, and steps of the wall clock are logged",
  bounded: "clients that stall take neither the server's memory nor anything from the others",
  back: "when its database is there again the server serves again, by itself",
  liar: "whatever a server behind a GPU sends, only a complete answer of it completes a task, within its limits",
} as const;
export type Promised = keyof typeof PROMISES;

/** What can be done to a server, with the words that count it. */
export const FAULTS = {
  servers: "servers killed",
  workers: "workers killed",
  stalls: "workers stalled",
  drains: "drains",
  fullDisks: "full disks",
  goneFiles: "gone files",
  clockSteps: "clock steps",
  stalledClients: "crowds of stalled clients",
  lies: "lies of an upstream",
  shared: "shared processes killed",
  databaseKills: "kills of PostgreSQL",
  backendKills: "kills of one of its processes",
  databaseRestarts: "restarts of it",
  databaseFreezes: "freezes of it",
  commitCuts: "commits cut off",
  connectionCuts: "cuts of all connections",
  databaseFull: "full disks of PostgreSQL",
} as const;
export type Fault = keyof typeof FAULTS;
export type StoreName = "sqlite" | "postgres";

/** What can be done to a server with a file, to one with PostgreSQL, and to both; and the promises that are only looked at with one. */
const OF_FILE: readonly (Fault | Promised)[] = [
  "fullDisks",
  "goneFiles",
  "stalledClients",
  "lies",
  "shared",
  "gone",
  "liar",
];
const OF_POSTGRES: readonly (Fault | Promised)[] = [
  ...([
    "databaseKills",
    "backendKills",
    "databaseRestarts",
    "databaseFreezes",
    "commitCuts",
    "connectionCuts",
  ] as const),
  ...(["databaseFull", "back"] as const),
];

/** Those of a table that belong to a run with that store. */
function belonging<Name extends Fault | Promised>(table: Readonly<Record<Name, string>>, store: StoreName): Name[] {
  const others = store === "sqlite" ? OF_POSTGRES : OF_FILE;
  return (Object.keys(table) as Name[]).filter((name) => !others.includes(name));
}

const OUTCOMES = ["accepted", "completed", "failed", "canceled", "removed"] as const;

/** What was done, for the last line. */
export type Counts = Record<Fault | (typeof OUTCOMES)[number], number>;

export class Report {
  readonly counts = Object.fromEntries([...Object.keys(FAULTS), ...OUTCOMES].map((what) => [what, 0])) as Counts;
  violations = 0;
  readonly #checked = new Map<Promised, number>();
  readonly #started = performance.now();
  readonly #faults: readonly Fault[];
  readonly #promises: readonly Promised[];

  constructor(store: StoreName = "sqlite") {
    this.#faults = belonging(FAULTS, store);
    this.#promises = belonging(PROMISES, store);
  }

  /** All that was done to servers. */
  get faults(): number {
    return this.#faults.reduce((sum, fault) => sum + this.counts[fault], 0);
  }

  /** What nobody has looked at, and should have. */
  get unchecked(): readonly Promised[] {
    return this.#promises.filter((promise) => this.timesChecked(promise) === 0);
  }

  /**
   * Counts one look at a promise, and says so when it is broken.
   * @param evidence what to print then, such as the whole task
   * @returns whether it holds
   */
  check(promise: Promised, holds: boolean, sentence: string, evidence?: unknown): boolean {
    this.#checked.set(promise, this.timesChecked(promise) + 1);
    if (holds) return true;
    this.violations++;
    const shown = evidence === undefined ? "" : `\n  ${JSON.stringify(evidence)}`;
    this.say(`VIOLATION (${PROMISES[promise]}): ${sentence}${shown}`);
    return false;
  }

  timesChecked(promise: Promised): number {
    return this.#checked.get(promise) ?? 0;
  }

  say(line: string): void {
    const seconds = ((performance.now() - this.#started) / 1000).toFixed(1);
    console.log(`[${seconds} s] ${line}`);
  }

  sayProgress(): void {
    const { accepted, completed, failed, canceled } = this.counts;
    const ended = completed + failed + canceled;
    this.say(`${this.faults} faults, ${accepted} tasks accepted, ${ended} ended, ${this.violations} violations`);
  }

  /** How often each promise was looked at, so that a check that never ran can be seen. */
  sayChecks(): void {
    for (const promise of this.#promises)
      console.log(`${String(this.timesChecked(promise)).padStart(8)}  ${PROMISES[promise]}`);
  }

  lastLine(seed: number): string {
    const faults = this.#faults.map((fault) => `${this.counts[fault]} ${FAULTS[fault]}`);
    const { accepted, completed, failed, canceled, removed } = this.counts;
    const done = [
      `${this.faults} faults (${faults.join(", ")})`,
      `${accepted} tasks accepted`,
      `${completed} completed`,
      `${failed} failed`,
      `${canceled} canceled`,
      `${removed} removed`,
      `${this.violations} violations`,
    ];
    return `chaos: seed ${seed}, ${done.join(", ")}`;
  }
}
