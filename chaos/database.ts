/**
 * The PostgreSQL that has the tasks of the server under test, on a disk of its own, behind a proxy that cuts connections. It is Debian's,
 * which runs as its own user.
 */
import { chownSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { postgresOwner, PostgresServer, signalTo } from "../test/helpers/postgres.ts";
import { CommitCutter, type Cut } from "../test/helpers/postgres-proxy.ts";
import { processes } from "../test/helpers/processes.ts";
import { type Dice } from "./dice.ts";
import { Disk } from "./disk.ts";
import { Outage } from "./outage.ts";

/** Small, so that a full disk is felt at once and a crash is soon over. */
const SETTINGS = ["shared_buffers=32MB", "min_wal_size=32MB", "max_wal_size=64MB", "max_connections=30"];
/** Of the commits while some are cut. */
const CUT_SHARE = 0.3;
const CUTS: readonly Cut[] = ["before", "during", "after"];
/** Milliseconds between two looks at whether it has taken its last processes with it. */
const LOOK_EVERY = 20;

export class Database {
  readonly outage = new Outage();
  readonly disk: Disk;
  readonly #folder: string;
  readonly #dice: Dice;
  #postgres!: PostgresServer;
  #proxy!: CommitCutter;
  #cutsLeft = 0;

  private constructor(folder: string, dice: Dice) {
    this.#folder = folder;
    this.#dice = dice;
    const small = join(folder, "disk");
    mkdirSync(small);
    this.disk = new Disk(small);
  }

  static async start(dice: Dice): Promise<Database> {
    const database = new Database(mkdtempSync(join(tmpdir(), "alt-las-chaos-postgres-")), dice);
    const owner = postgresOwner();
    const folder = join(database.disk.folder, "server");
    mkdirSync(folder);
    for (const path of [database.#folder, database.disk.folder, folder])
      if (owner !== undefined) chownSync(path, owner.uid, owner.gid);
    database.#postgres = await PostgresServer.start(SETTINGS, "trust", folder);
    const decide = (): Cut => database.#decide();
    database.#proxy = await CommitCutter.start({ after: () => {} }, folder, decide);
    return database;
  }

  /** Where the server finds it: behind the proxy. */
  get url(): string {
    return this.#postgres.url("postgres", this.#proxy.folder);
  }

  /** The commits that were cut so far. */
  get cuts(): number {
    return Object.values(this.#proxy.cuts).reduce((sum, count) => sum + count);
  }

  /** Cuts so many commits, one here and one there. */
  cut(count: number): void {
    this.#cutsLeft = count;
  }

  get isCutting(): boolean {
    return this.#cutsLeft > 0;
  }

  /** Cuts all connections at once. */
  cutAll(): void {
    this.#proxy.cutAll();
  }

  /** As when the power fails: all of its processes. */
  async kill(): Promise<void> {
    const all = this.#postgres.processes;
    const gone = this.#postgres.stop("SIGKILL");
    for (const pid of all) signalTo(pid, "SIGKILL");
    await gone;
    while (processes().some(({ pid }) => all.includes(pid))) await sleep(LOOK_EVERY);
  }

  /** As the system does when memory is short: one process, after which it starts anew by itself. */
  killOne(): void {
    const [, ...others] = this.#postgres.processes;
    if (others.length > 0) signalTo(this.#dice.pick(others), "SIGKILL");
  }

  /** Ends it as an operator does. */
  stop(): Promise<void> {
    return this.#postgres.stop("SIGINT");
  }

  async freeze(milliseconds: number): Promise<void> {
    this.#postgres.signalAll("SIGSTOP");
    await sleep(milliseconds);
    this.#postgres.signalAll("SIGCONT");
  }

  fill(): boolean {
    return this.disk.fill(...this.#postgres.processes);
  }

  /** Resolves when it takes connections again, whatever was done to it. */
  async mend(): Promise<void> {
    this.#cutsLeft = 0;
    this.disk.empty(...this.#postgres.processes);
    for (;;) {
      if (!this.#postgres.isRunning) await this.#postgres.run().catch(() => {});
      else if (await this.#postgres.answers()) return;
      await sleep(LOOK_EVERY);
    }
  }

  close(): void {
    this.#proxy.stop();
    this.#postgres.signalAll("SIGKILL");
    this.disk.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #decide(): Cut {
    if (this.#cutsLeft === 0 || !this.#dice.chance(CUT_SHARE)) return null;
    this.#cutsLeft--;
    return this.#dice.pick(CUTS);
  }
}
