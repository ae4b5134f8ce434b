/** What is done to the server, one blow after the other. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Dice } from "./dice.ts";
import { type Disk } from "./disk.ts";
import { type Life, type Lives } from "./lives.ts";
import { type Report } from "./report.ts";

export interface ViolenceParts {
  readonly lives: Lives;
  readonly disk: Disk;
  readonly dice: Dice;
  readonly report: Report;
}

/** Workers that are hurt in one life, at most: a GPU whose worker fails too often gets none for a while. */
const WOUNDS = 6;

export class Violence {
  readonly #parts: ViolenceParts;
  readonly #dice: Dice;
  #life: Life;
  #wounds = 0;

  /** @param life the server that runs now */
  constructor(parts: ViolenceParts, life: Life) {
    this.#parts = parts;
    this.#dice = parts.dice;
    this.#life = life;
  }

  /** One blow; afterwards a server answers. @param burst has a client submit many tasks at once */
  async strike(burst: () => void): Promise<void> {
    const blow = this.#dice.weigh<() => Promise<void>>([
      [30, () => this.#killServer(burst)],
      [this.#wounds < WOUNDS ? 55 : 0, () => this.#killWorker()],
      [this.#wounds < WOUNDS ? 5 : 0, () => this.#stallWorker()],
      [4, () => this.#drain()],
      [6, () => this.#fillDisk()],
    ]);
    await blow();
    await this.ensureLife();
    await sleep(this.#dice.between(0, 400));
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
    const { lives, disk, report } = this.#parts;
    const { pid } = this.#life;
    if (!disk.canFill || !disk.fill(pid)) return;
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

  #anyWorker() {
    const workers = this.#life.workers();
    if (workers.length === 0) return undefined;
    this.#wounds++;
    return this.#dice.pick(workers);
  }
}
