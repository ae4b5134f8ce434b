/** What is done to the server, one blow after the other. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Database } from "./database.ts";
import { DATABASE_BLOWS, type DatabaseBlow, DatabaseBlows } from "./database-blows.ts";
import { type Dice } from "./dice.ts";
import { type Life, type Lives } from "./lives.ts";
import { type Fault, type Report } from "./report.ts";
import { stallClients } from "./stalled-clients.ts";
import { steal } from "./theft.ts";
import { type World } from "./world.ts";

export interface ViolenceParts {
  readonly lives: Lives;
  readonly world: World;
  readonly dice: Dice;
  readonly report: Report;
  /** null: its tasks are in a file. */
  readonly database: Database | null;
}

/** Workers that are hurt in one life, at most: a GPU whose worker fails too often gets none for a while. */
const WOUNDS = 6;

const HOUR = 3600;
/**
 * Seconds: steps of the wall clock that are undone at once. A server that is killed meanwhile and started later has to believe that it was
 * off for so long; less than a day is no reason to forget anything.
 */
const SMALL_STEPS = [HOUR, -HOUR, 20 * HOUR, -20 * HOUR];
/** Seconds: steps that stay for a while. No server was off for so long. */
const LARGE_STEPS = [8 * 24 * HOUR, -8 * 24 * HOUR];

/** Milliseconds in which a server has to notice that its clock was set. */
const NOTICE = 10_000;

/** The blows that are made in any round, and how often. */
const BLOWS = {
  killServer: 30,
  killWorker: 50,
  stallWorker: 5,
  drain: 4,
  fillDisk: 6,
  steal: 4,
  stallClients: 4,
  stepClock: 25,
  ...DATABASE_BLOWS,
} as const;
type Blow = keyof typeof BLOWS;

/** Those that a server with a database elsewhere gets beside what is done to that. */
const WITH_DATABASE: ReadonlySet<Blow> = new Set(["killServer", "killWorker", "stallWorker", "drain", "stepClock"]);

/** What counts the blows of a kind that were really made: a blow may meet no worker or no file. */
const COUNTED: Readonly<Record<Blow, Fault>> = {
  killServer: "servers",
  killWorker: "workers",
  stallWorker: "stalls",
  drain: "drains",
  fillDisk: "fullDisks",
  steal: "goneFiles",
  stallClients: "stalledClients",
  stepClock: "clockSteps",
  killDatabase: "databaseKills",
  killBackend: "backendKills",
  restartDatabase: "databaseRestarts",
  freezeDatabase: "databaseFreezes",
  cutCommits: "commitCuts",
  cutConnections: "connectionCuts",
  fillDatabase: "databaseFull",
};

/** A kind that meets nothing so many times is left to the dice. */
const TRIES = 20;

export class Violence {
  readonly #parts: ViolenceParts;
  readonly #dice: Dice;
  readonly #blows: Readonly<Record<Exclude<Blow, DatabaseBlow>, (burst: () => void) => Promise<void>>> = {
    killServer: (burst) => this.#killServer(burst),
    killWorker: () => this.#killWorker(),
    stallWorker: () => this.#stallWorker(),
    drain: () => this.#drain(),
    fillDisk: () => this.#fillDisk(),
    steal: () => this.#steal(),
    stallClients: () => stallClients(this.#parts, this.#life),
    stepClock: () => this.#stepClock(),
  };
  readonly #toDatabase: DatabaseBlows | null;
  /** How often each kind was tried. */
  readonly #tries = new Map<Blow, number>();
  #life: Life;
  #wounds = 0;
  #steps = false;
  /** Seconds that the wall clock is ahead. */
  #offset = 0;

  /** @param life the server that runs now */
  constructor(parts: ViolenceParts, life: Life) {
    this.#parts = parts;
    this.#dice = parts.dice;
    this.#life = life;
    const { database, ...others } = parts;
    this.#toDatabase = database === null ? null : new DatabaseBlows({ ...others, database });
  }

  /** Gets ready for a round. @param steps whether the wall clock is set in it */
  async begin(steps: boolean): Promise<void> {
    const { lives, world } = this.#parts;
    const environment = steps ? world.clock.environment : {};
    this.#steps = steps && world.clock.canStep;
    const isOther = Object.keys(environment).length !== Object.keys(lives.environment).length;
    lives.environment = environment;
    if (isOther) await this.#drain();
  }

  /** One blow; afterwards a server answers. @param burst has a client submit many tasks at once */
  async strike(burst: () => void): Promise<void> {
    const blow = this.#choose();
    this.#tries.set(blow, this.#triesOf(blow) + 1);
    if (isOfDatabase(blow)) await this.#toDatabase!.strike(blow, this.#life, burst);
    else await this.#blows[blow](burst);
    await this.ensureLife();
    await sleep(this.#dice.between(0, 400));
  }

  /** Leaves the server in peace, with the clock right again. */
  async end(): Promise<void> {
    if (this.#offset !== 0) await this.#setClock(0);
  }

  /** Whether there is a kind of blow that has not come yet, and could. */
  get isDue(): boolean {
    return this.#due().length > 0;
  }

  /** Each kind comes once before the dice decide. */
  #choose(): Blow {
    const due = this.#due();
    return due.length > 0
      ? this.#dice.pick(due)
      : this.#dice.weigh(this.#possible().map((blow) => [BLOWS[blow], blow]));
  }

  /** The kinds that were not made yet, and can be. */
  #due(): readonly Blow[] {
    const { counts } = this.#parts.report;
    return this.#possible().filter((blow) => counts[COUNTED[blow]] === 0 && this.#triesOf(blow) < TRIES);
  }

  #triesOf(blow: Blow): number {
    return this.#tries.get(blow) ?? 0;
  }

  #possible(): readonly Blow[] {
    return (Object.keys(BLOWS) as Blow[]).filter((blow) => this.#isPossible(blow));
  }

  #isPossible(blow: Blow): boolean {
    const { database, world } = this.#parts;
    if (isOfDatabase(blow) ? database === null : database !== null && !WITH_DATABASE.has(blow)) return false;
    if (blow === "fillDatabase") return database!.disk.canFill;
    if (blow === "stepClock") return this.#steps;
    if (blow === "fillDisk") return world.disk.canFill;
    return this.#wounds < WOUNDS || (blow !== "killWorker" && blow !== "stallWorker");
  }

  /** A server that has ended by itself is started again, so that more can be found. */
  async ensureLife(): Promise<Life> {
    if (this.#life.isOver) await this.#restart();
    return this.#life;
  }

  async #restart(): Promise<void> {
    this.#life = await this.#parts.lives.start();
    this.#wounds = 0;
  }

  async #killServer(burst: () => void): Promise<void> {
    const { lives } = this.#parts;
    if (this.#dice.chance(0.4)) {
      burst();
      await sleep(this.#dice.between(0, 40));
    }
    await lives.kill(this.#life);
    // Some do not even live long enough to answer.
    while (this.#dice.chance(0.15)) {
      this.#life = lives.spawn();
      await sleep(this.#dice.between(200, 1200));
      await lives.kill(this.#life);
    }
    await this.#restart();
  }

  async #killWorker(): Promise<void> {
    const worker = this.#anyWorker();
    if (worker !== undefined) this.#parts.lives.killWorker(worker);
  }

  async #stallWorker(): Promise<void> {
    const worker = this.#anyWorker();
    if (worker === undefined) return;
    this.#parts.lives.stallWorker(this.#life, worker);
    if (this.#dice.chance(0.5)) await this.#parts.lives.expectReplaced(worker.pid);
  }

  async #drain(): Promise<void> {
    this.#parts.report.counts.drains++;
    await this.#parts.lives.stop(this.#life, this.#dice.chance(0.3));
    await this.#restart();
  }

  /** A full disk, and at times a server that dies on it, and another one that has to start on it. */
  async #fillDisk(): Promise<void> {
    const {
      lives,
      report,
      world: { disk },
    } = this.#parts;
    const { pid } = this.#life;
    if (!disk.fill(pid)) return;
    report.counts.fullDisks++;
    await sleep(this.#dice.between(200, 2500));
    if (this.#dice.chance(0.5)) {
      await lives.kill(this.#life);
      if (disk.outlivesServers && this.#dice.chance(0.5)) await this.#startOnFullDisk();
    }
    disk.empty(pid);
  }

  /** It may refuse to; whether it has lost anything by that is seen later. */
  async #startOnFullDisk(): Promise<void> {
    const { lives } = this.#parts;
    this.#life = lives.spawn();
    this.#wounds = 0;
    this.#life.mayFail = true;
    if (!(await this.#life.answers)) return;
    await sleep(this.#dice.between(0, 500));
    if (this.#dice.chance(0.5)) await lives.kill(this.#life);
  }

  async #steal(): Promise<void> {
    await steal(this.#parts, this.#life);
    await this.ensureLife();
  }

  /** A small step is undone; a large one stays until the next. */
  async #stepClock(): Promise<void> {
    const small = this.#dice.chance(0.5);
    await this.#setClock(
      this.#dice.pick(small ? SMALL_STEPS : [0, ...LARGE_STEPS].filter((one) => one !== this.#offset)),
    );
    await sleep(this.#dice.between(0, 500));
    if (small) await this.#setClock(0);
    this.#parts.report.counts.clockSteps++;
  }

  /** Resolves when the server has noticed. */
  async #setClock(seconds: number): Promise<void> {
    const { lives, report, world } = this.#parts;
    const noticed = lives.nextLine("the wall clock was set", NOTICE);
    this.#offset = seconds;
    world.clock.set(seconds);
    const line = await noticed;
    report.check("times", line || this.#life.isOver, `the log does not tell that the clock was set by ${seconds} s`);
  }

  #anyWorker() {
    const workers = this.#life.workers();
    if (workers.length === 0) return undefined;
    this.#wounds++;
    return this.#dice.pick(workers);
  }
}

function isOfDatabase(blow: Blow): blow is DatabaseBlow {
  return Object.hasOwn(DATABASE_BLOWS, blow);
}
