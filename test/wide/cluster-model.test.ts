/**
 * The protocol of leaders and agents against a plain model: a database that knows one epoch and refuses writes under any other. Leaders are
 * frozen, taken over from and woken in any order, while tasks are given, messages lost and ends written.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test, type TestContext } from "node:test";
import fc from "fast-check";
import type { ClusterPool } from "../../src/cluster/cluster-pool.ts";
import { completionOf } from "../../src/request.ts";
import type { Task } from "../../src/task.ts";
import { BEAT, ClusterWorld, type Run } from "../helpers/cluster-world.ts";
import type { MemoryBus } from "../helpers/memory-bus.ts";

const SPEED = "engine: { simulated: { tokens_per_second: 400 } }";
const GPUS = 2;
const TOKENS = 12;
const STEPS = ["submit", "submit", "place", "place", "freeze", "takeOver", "wake", "lose", "wait", "wait"] as const;
type Step = (typeof STEPS)[number];

interface Row {
  readonly task: Task;
  status: "queued" | "running" | "completed";
  /** Tokens of its text. */
  tokens: number;
}

/** What PostgreSQL is to the protocol. */
class Database {
  epoch = 1;
  refused = 0;
  readonly rows: Row[] = [];

  /** @returns whether it was written */
  write(epoch: number, change: () => void): boolean {
    if (epoch === this.epoch) change();
    else this.refused++;
    return epoch === this.epoch;
  }

  with(status: Row["status"]): readonly Row[] {
    return this.rows.filter((row) => row.status === status);
  }
}

/** A server as long as it leads, or believes so. */
interface Leader {
  readonly epoch: number;
  readonly pool: ClusterPool;
  readonly bus: MemoryBus;
  isFrozen: boolean;
}

class Protocol {
  readonly #world: ClusterWorld;
  readonly #database = new Database();
  #leader: Leader;
  readonly #before: Leader[] = [];
  #lost = 0;
  #gpu = 0;

  constructor(world: ClusterWorld) {
    this.#world = world;
    this.#leader = { epoch: 1, pool: world.pool, bus: world.bus, isFrozen: false };
    world.hub.loses = () => this.#lost > 0 && this.#lost-- > 0;
  }

  async step(step: Step): Promise<void> {
    switch (step) {
      case "submit":
        return this.#submit();
      case "place":
        return this.#placeOne();
      case "freeze":
        return this.#freeze();
      case "takeOver":
        return this.#takeOver();
      case "wake":
        return this.#wake();
      case "lose":
        this.#lost = 5;
        return;
      case "wait":
        return sleep(BEAT);
    }
  }

  #submit(): void {
    if (this.#leader.isFrozen) return;
    const { rows } = this.#database;
    this.#write(() =>
      rows.push({ task: this.#world.task(completionOf("hello", { maxTokens: TOKENS })), status: "queued", tokens: 0 }),
    );
  }

  #write(change: () => void): boolean {
    return this.#database.write(this.#leader.epoch, change);
  }

  #placeOne(): void {
    const [row] = this.#database.with("queued");
    if (row === undefined || this.#leader.isFrozen) return;
    // A run goes to its agent before it is on disk, and may be there when the leader dies in between.
    const run = this.#world.run(this.#gpu++ % GPUS, "hello", TOKENS, row.task);
    row.status = "running";
    void this.#follow(row, run, this.#leader);
  }

  /** Writes the end of a run, as the leader that has given it or adopted it. */
  async #follow(row: Row, run: Run, leader: Leader): Promise<void> {
    const { status } = await this.#world.ended(run);
    if (leader.isFrozen) return;
    this.#database.write(leader.epoch, () => {
      assert.equal(row.status, "running", `task ${row.task.id} ends a second time`);
      row.tokens = run.text.trim().split(" ").length;
      row.status = status === "completed" ? "completed" : "queued";
      if (status === "completed") this.#world.stored(row.task);
    });
  }

  #freeze(): void {
    this.#leader.isFrozen = true;
    this.#leader.bus.isUp = false;
  }

  async #takeOver(): Promise<void> {
    this.#freeze();
    this.#before.push(this.#leader);
    this.#database.epoch++;
    await this.#world.nextLeader(undefined, GPUS);
    const { pool, bus } = this.#world;
    this.#leader = { epoch: this.#database.epoch, pool, bus, isFrozen: false };
    for (const row of this.#database.with("running")) {
      const run = this.#world.adopt(row.task);
      if (run === null) row.status = "queued";
      else void this.#follow(row, run, this.#leader);
    }
    pool.restored();
  }

  /** One that was frozen goes on where it stood, until its database tells it that another one leads. */
  async #wake(): Promise<void> {
    const woken = this.#before.pop();
    if (woken === undefined) return;
    woken.bus.isUp = true;
    await sleep(BEAT);
    assert(!this.#database.write(woken.epoch, () => {}), "a leader that is over has written");
    woken.bus.isUp = false;
    await woken.pool.stop();
  }

  /** All are left in peace: whatever was accepted has to end. */
  async settle(): Promise<void> {
    this.#lost = 0;
    if (this.#leader.isFrozen) await this.#takeOver();
    while (this.#database.with("completed").length < this.#database.rows.length) {
      this.#placeOne();
      await sleep(1);
    }
    for (const { tokens, task } of this.#database.rows) assert.equal(tokens, TOKENS, task.id);
    // Every slot is free, as nothing runs any more.
    const last = await Promise.all([0, 1].map((gpu) => this.#world.ended(this.#world.run(gpu, "free?", 2))));
    assert.deepEqual(
      last.map(({ status }) => status),
      ["completed", "completed"],
    );
  }
}

test("whatever becomes of leaders, each task ends once, with a whole text, under the epoch that counts", async (t) => {
  const steps = fc.array(fc.constantFrom(...STEPS), { minLength: 5, maxLength: 25 });
  await fc.assert(
    fc.asyncProperty(steps, (some) => play(t, some)),
    { numRuns: Number(process.env["ALT_LAS_MODEL_RUNS"] ?? 20), endOnFailure: true },
  );
});

async function play(t: TestContext, steps: readonly Step[]): Promise<void> {
  const world = await ClusterWorld.start(t);
  world.isAlone = true;
  await world.agent("one", SPEED, `simulated:${GPUS}`);
  for (let gpu = 0; gpu < GPUS; gpu++) await world.became(gpu, "ready");
  const protocol = new Protocol(world);
  for (const step of steps) await protocol.step(step);
  await protocol.settle();
}
