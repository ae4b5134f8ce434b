/** What is done to the database of the server under test; afterwards the server has to go on by itself. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Database } from "./database.ts";
import { type Dice } from "./dice.ts";
import { type Life, type Lives } from "./lives.ts";
import { type Fault, type Report } from "./report.ts";

/** How often each comes among all blows. */
export const DATABASE_BLOWS = {
  killDatabase: 25,
  killBackend: 20,
  restartDatabase: 20,
  freezeDatabase: 15,
  cutCommits: 40,
  cutConnections: 15,
  fillDatabase: 15,
} as const;
export type DatabaseBlow = keyof typeof DATABASE_BLOWS;

/** Milliseconds in which a server has to serve again. */
const PATIENCE = 60_000;
/** Milliseconds in which commits come that may be cut; none come while nobody submits. */
const CUTTING = 4000;
const LOOK_EVERY = 25;

interface Parts {
  readonly database: Database;
  readonly lives: Lives;
  readonly dice: Dice;
  readonly report: Report;
}

export class DatabaseBlows {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Strikes once. When it returns the database is well, and the server serves or was killed. */
  async strike(blow: DatabaseBlow, life: Life, burst: () => void): Promise<void> {
    const { database, lives, dice } = this.#parts;
    database.outage.begin();
    if (dice.chance(0.5)) burst();
    await sleep(dice.between(0, 60));
    const dies = dice.chance(0.15);
    if (dies && dice.chance(0.5)) await Promise.all([this.#strike(blow), lives.kill(life)]);
    else await this.#strike(blow);
    if (dies && !life.isOver) await lives.kill(life);
    if (dies && dice.chance(0.3)) await this.#startWithout();
    await database.mend();
    if (!life.isOver) await this.#expectBack(life);
    database.outage.end();
  }

  async #strike(blow: DatabaseBlow): Promise<void> {
    const { database, dice, report } = this.#parts;
    const away = (): Promise<void> => sleep(dice.chance(0.2) ? dice.between(3000, 7000) : dice.between(0, 1500));
    const counted = (fault: Fault): void => void report.counts[fault]++;
    switch (blow) {
      case "killDatabase":
        await database.kill();
        counted("databaseKills");
        return away();
      case "killBackend":
        database.killOne();
        return counted("backendKills");
      case "restartDatabase":
        await database.stop();
        counted("databaseRestarts");
        return away();
      case "freezeDatabase":
        await database.freeze(dice.chance(0.3) ? dice.between(5000, 8000) : dice.between(100, 2000));
        return counted("databaseFreezes");
      case "cutCommits":
        return this.#cut();
      case "cutConnections":
        database.cutAll();
        return counted("connectionCuts");
      case "fillDatabase":
        if (!database.fill()) return;
        counted("databaseFull");
        return sleep(dice.between(300, 3000));
    }
  }

  async #cut(): Promise<void> {
    const { database, dice, report } = this.#parts;
    const before = database.cuts;
    const tooLate = performance.now() + CUTTING;
    database.cut(dice.between(1, 6));
    while (database.isCutting && performance.now() < tooLate) await sleep(LOOK_EVERY);
    report.counts.commitCuts += database.cuts - before;
  }

  /** It may refuse to, and must not hang. */
  async #startWithout(): Promise<void> {
    const { lives, dice } = this.#parts;
    const life = lives.spawn();
    life.mayFail = true;
    if (!(await life.answers)) return;
    await sleep(dice.between(0, 300));
    await lives.kill(life);
  }

  async #expectBack(life: Life): Promise<void> {
    const tooLate = performance.now() + PATIENCE;
    let status: number | undefined;
    while (status !== 200 && performance.now() < tooLate && !life.isOver) {
      const answer = await fetch(`${life.url}/readyz`).catch(() => null);
      await answer?.body?.cancel();
      status = answer?.status;
      if (status !== 200) await sleep(LOOK_EVERY);
    }
    this.#parts.report.check("back", status === 200, `with its database back it is not ready: ${status}`);
  }
}
