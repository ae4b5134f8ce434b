/** What is removed follows the server's clock, and a start whose wall clock cannot be believed removes nothing for an hour. */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Retention } from "../src/store/retention.ts";
import { SqliteStore } from "../src/store/sqlite/sqlite.ts";
import { Timekeeper } from "../src/store/timekeeper.ts";
import { type Task } from "../src/task.ts";
import { complete, newTask, run as started, testFolder } from "./helpers/store.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const WEEK = 7 * DAY;
const NOW = 1_700_000_000_000;
/** What a server that is killed does not do. */
const KILLED = false;

/** A data directory and a machine's clocks, over several runs of a server. */
class Machine {
  readonly source = { steady: 0, wall: NOW };
  readonly #path: string;
  readonly #t: TestContext;
  #seq = 0;

  constructor(t: TestContext) {
    this.#t = t;
    this.#path = join(testFolder(t), "tasks.db");
  }

  pass(milliseconds: number): void {
    this.source.steady += milliseconds;
    this.source.wall += milliseconds;
  }

  /** No server runs, and the machine may be off. */
  off(milliseconds: number): void {
    this.source.steady = 0;
    this.source.wall += milliseconds;
  }

  nextTask(): number {
    return ++this.#seq;
  }

  async start(retention = WEEK, maxStored: number | null = null): Promise<Run> {
    const store = new SqliteStore({ path: this.#path });
    const { past } = await store.open();
    const warnings: object[] = [];
    const log = { warn: (fields: object) => void warnings.push(fields), error: () => {} };
    const source = { steady: () => this.source.steady, wall: () => this.source.wall };
    const time = new Timekeeper({ store, past, retention, log, source });
    const run = new Run(this, { store, time, warnings, retention, maxStored });
    this.#t.after(() => run.stop());
    return run;
  }
}

/** Removes the rows of files that are due. */
function removing({ files }: SqliteStore): ConstructorParameters<typeof Retention>[0]["files"] {
  return {
    removeDue: async (limits) => {
      for (const { id } of await files.due(limits, 100)) await files.remove(id);
      return false;
    },
  };
}

interface RunParts {
  readonly store: SqliteStore;
  readonly time: Timekeeper;
  readonly warnings: object[];
  readonly retention: number;
  readonly maxStored: number | null;
}

/** One run of a server. */
class Run {
  readonly retention: Retention;
  readonly #machine: Machine;
  readonly #store: SqliteStore;
  readonly #time: Timekeeper;
  readonly warnings: readonly object[];
  readonly #heard = new EventEmitter();

  constructor(machine: Machine, { store, time, warnings, ...kept }: RunParts) {
    this.#machine = machine;
    this.#store = store;
    this.#time = time;
    this.warnings = warnings;
    const log = { warn: (fields: object) => void warnings.push(fields), error: () => {} };
    const heard = this.#heard;
    const swept = {
      tasks: store.tasks,
      sweep: async (limits: Parameters<SqliteStore["sweep"]>[0]) => {
        const more = await store.sweep(limits);
        if (!more) heard.emit("swept");
        return more;
      },
    };
    const settings = { ...kept, keysLive: DAY, usageKept: DAY, interval: 1 };
    this.retention = new Retention({ store: swept, files: removing(store), time, log, ...settings });
    this.retention.start();
    time.look();
  }

  /** A task that ends now. */
  async end(): Promise<Task> {
    const { now, wall } = this.#time.times;
    const task = complete(started(newTask(this.#machine.nextTask(), { createdAt: wall, createdClock: now })));
    Object.assign(task, { finishedAt: wall, finishedClock: now });
    await this.#store.save([task]);
    return task;
  }

  /** Which of these tasks are still there, after sweeps that began after now. */
  async kept(tasks: readonly Task[]): Promise<number> {
    this.#time.look();
    for (let sweep = 0; sweep < 2; sweep++) await once(this.#heard, "swept");
    const found = await Promise.all(tasks.map(({ id }) => this.#store.tasks.get(id)));
    for (const [index, task] of found.entries()) {
      if (task !== null) assert.equal(task.finishedAt, tasks[index]!.finishedAt);
    }
    return found.filter((task) => task !== null).length;
  }

  async stop(clean = true): Promise<void> {
    await this.retention.stop();
    // What ends in the last millisecond of a run may belong to the next one.
    this.#machine.pass(1);
    if (clean) await this.#time.stop();
    await this.#store.close();
  }
}

for (const step of [HOUR, -HOUR, 8 * DAY, -8 * DAY]) {
  test(`a step of the wall clock by ${step / HOUR} h removes nothing, and delays no removal`, async (t) => {
    const machine = new Machine(t);
    const run = await machine.start();
    const before = await run.end();
    machine.source.wall += step;
    assert.equal(await run.kept([before]), 1);
    const [warning] = run.warnings as { from: string; to: string; seconds: number }[];
    assert.deepEqual(warning, {
      from: new Date(NOW).toISOString(),
      to: new Date(NOW + step).toISOString(),
      seconds: step / 1000,
    });
    const during = await run.end();
    // Back again, as after a bad time server.
    machine.pass(MINUTE);
    machine.source.wall -= step;
    const after = await run.end();
    assert.equal(await run.kept([before, during, after]), 3);
    machine.pass(WEEK - MINUTE);
    assert.equal(await run.kept([before, during, after]), 3);
    machine.pass(1);
    assert.equal(await run.kept([before, during, after]), 1);
    machine.pass(MINUTE);
    assert.equal(await run.kept([after]), 0);
  });
}

test("what is shown of a task whose run saw a step is what was shown then, after a restart too", async (t) => {
  const machine = new Machine(t);
  const first = await machine.start();
  machine.source.wall -= HOUR;
  const task = await first.end();
  await first.stop();
  const second = await machine.start();
  assert.equal(await second.kept([task]), 1);
});

test("a step before a restart is not taken for time that has passed", async (t) => {
  const machine = new Machine(t);
  const first = await machine.start();
  const task = await first.end();
  machine.source.wall += 6 * DAY;
  assert.equal(await first.kept([task]), 1);
  await first.stop();
  machine.off(MINUTE);
  const second = await machine.start();
  machine.pass(WEEK - HOUR);
  assert.equal(await second.kept([task]), 1);
  machine.pass(HOUR);
  assert.equal(await second.kept([task]), 0);
});

test("a start after 8 days off removes nothing for an hour, says so, and then all that is due", async (t) => {
  const machine = new Machine(t);
  const first = await machine.start();
  const old = [await first.end(), await first.end(), await first.end()];
  await first.stop();
  machine.off(8 * DAY);
  const second = await machine.start();
  assert.equal(await second.kept(old), 3);
  assert.deepEqual(second.warnings, [
    { clock: new Date(NOW + 1 + 8 * DAY).toISOString(), last: new Date(NOW + 1).toISOString(), tasks: 3 },
  ]);
  const fresh = await second.end();
  machine.pass(HOUR - 1);
  assert.equal(await second.kept([...old, fresh]), 4);
  machine.pass(1);
  assert.equal(await second.kept([...old, fresh]), 1);
  machine.pass(WEEK - HOUR);
  assert.equal(await second.kept([fresh]), 1);
  machine.pass(1);
  assert.equal(await second.kept([fresh]), 0);
});

test("a start with a clock 8 days ahead that is set right within the hour removes nothing too early", async (t) => {
  const machine = new Machine(t);
  const first = await machine.start();
  const old = await first.end();
  await first.stop();
  machine.off(MINUTE + 8 * DAY);
  const second = await machine.start();
  const wrong = await second.end();
  machine.pass(10 * MINUTE);
  machine.source.wall -= 8 * DAY;
  const right = await second.end();
  machine.pass(2 * HOUR);
  assert.equal(await second.kept([old, wrong, right]), 3);
  await second.stop();
  machine.off(MINUTE);
  // What had been doubtful is settled.
  const third = await machine.start();
  assert.equal(await third.kept([old, wrong, right]), 3);
  assert.deepEqual(third.warnings, []);
  machine.pass(WEEK);
  assert.equal(await third.kept([old, wrong, right]), 0);
});

test("a start with a clock that is behind and set right removes what is due after the hour, and nothing of its own", async (t) => {
  const machine = new Machine(t);
  const first = await machine.start();
  const old = await first.end();
  await first.stop();
  // A machine whose battery is empty, off for 8 days.
  machine.off(-50 * 365 * DAY);
  const second = await machine.start();
  const early = await second.end();
  assert.equal((second.warnings[0] as { tasks: number }).tasks, 0);
  machine.pass(MINUTE);
  machine.source.wall = NOW + 8 * DAY;
  assert.equal(await second.kept([old, early]), 2);
  machine.pass(HOUR);
  assert.equal(await second.kept([old, early]), 1);
  assert.equal(await second.kept([early]), 1);
  await second.stop();
  machine.off(MINUTE);
  const third = await machine.start();
  assert.equal(await third.kept([early]), 1);
  assert.deepEqual(third.warnings, []);
});

test("a start with a clock that stays behind goes on removing after the hour", async (t) => {
  const machine = new Machine(t);
  const first = await machine.start();
  const old = await first.end();
  await first.stop();
  machine.off(-DAY);
  const second = await machine.start();
  machine.pass(WEEK - 1);
  assert.equal(await second.kept([old]), 1);
  machine.pass(1);
  assert.equal(await second.kept([old]), 0);
});

test("a run that is killed within the hour leaves the doubt to the next one", async (t) => {
  const machine = new Machine(t);
  const first = await machine.start();
  const old = await first.end();
  await first.stop();
  machine.off(8 * DAY);
  const second = await machine.start();
  machine.pass(2 * MINUTE);
  const late = await second.end();
  assert.equal(await second.kept([old]), 1);
  await second.stop(KILLED);
  machine.off(1000);
  const third = await machine.start();
  assert.equal(await third.kept([old, late]), 2);
  assert.equal((third.warnings[0] as { tasks: number }).tasks, 1);
  machine.pass(HOUR);
  assert.equal(await third.kept([old, late]), 1);
});

test("the hold ends when an operator says so", async (t) => {
  const machine = new Machine(t);
  const first = await machine.start();
  const old = [await first.end(), await first.end()];
  await first.stop();
  machine.off(8 * DAY);
  const second = await machine.start();
  const fresh = await second.end();
  assert.equal(await second.kept(old), 2);
  const { signal } = new AbortController();
  assert.deepEqual(await second.retention.sweepNow(signal), { held: true, tasks: 2 });
  assert.equal(await second.kept([...old, fresh]), 1);
  assert.deepEqual(await second.retention.sweepNow(signal), { held: false, tasks: 0 });
});

test("what is kept for a second goes after a second, and at once after a night", async (t) => {
  const machine = new Machine(t);
  const first = await machine.start(1000);
  const one = await first.end();
  machine.pass(1000);
  assert.equal(await first.kept([one]), 1);
  machine.pass(1);
  assert.equal(await first.kept([one]), 0);
  const other = await first.end();
  await first.stop();
  machine.off(DAY);
  const second = await machine.start(1000);
  assert.equal(await second.kept([other]), 0);
  assert.deepEqual(second.warnings, []);
});

test("an hour of doubt is one about ages: there are never more tasks than max_stored", async (t) => {
  const machine = new Machine(t);
  const first = await machine.start();
  const old = [await first.end(), await first.end(), await first.end()];
  await first.stop();
  machine.off(8 * DAY);
  const second = await machine.start(WEEK, 2);
  assert.equal(await second.kept(old), 2);
});
