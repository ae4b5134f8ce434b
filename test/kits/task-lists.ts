/* What every store promises about lists of tasks and about sweeps (src/store/tasks.ts): compared with plain arrays, whatever happens. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type Store, type SweepLimits } from "../../src/store/store.ts";
import { type ListedPage, type PastTask, type TaskFilter } from "../../src/store/tasks.ts";
import { isFinal, shownGpuId, type Task, TASK_STATUSES } from "../../src/task.ts";
import {
  cancel,
  complete,
  EVERYTHING,
  type MakePlace,
  newTask,
  opened,
  run,
  storedSeqs,
  withoutRequest,
  withoutText,
} from "../helpers/store.ts";
import { NOW } from "./records.ts";

function pastOf({ seq, user, createdClock, size, taskType, priority, prefix, ...task }: Task): PastTask {
  const { promptTokens = null, completionTokens = null } = task.result ?? {};
  const facts = { seq, user, createdClock, size, taskType, priority, prefix, promptTokens, completionTokens };
  return { ...facts, maxTokens: task.sampling.maxTokens, model: task.ranModel ?? task.model };
}

/** @param name of the store @param make see `MakePlace` */
export function exerciseTaskLists(name: string, make: MakePlace): void {
  describe(name, () => {
    test("any filter gives the tasks and the total that a plain search gives, also after removals and a restart", async (t) => {
      const filters = fc.array(anyFilter(), { minLength: 5, maxLength: 20 });
      const property = fc.asyncProperty(anyTasks(), filters, async (tasks, asked) => {
        const world = await opened(t, make);
        await world.store.save(tasks);
        for (const filter of asked) await checkFilter(world.store, tasks, filter);
        const left = tasks.filter((task) => !isFinal(task.status) || task.seq % 3 !== 0);
        const tried = tasks.filter((task) => task.seq % 3 === 0);
        for (const task of tried) assert.equal(await world.store.tasks.remove(task.id), isFinal(task.status));
        for (const filter of asked) await checkFilter(world.store, left, filter);
        await world.restart();
        for (const filter of asked) await checkFilter(world.store, left, filter);
        await world.store.close();
      });
      await fc.assert(property, { numRuns: 8 });
    });

    test("totals that are first asked for while tasks come, change and go are those of what is stored", async (t) => {
      const world = await opened(t, make);
      const ended = Array.from({ length: 60 }, (_, index) => cancel(newTask(index + 1)));
      let seq = ended.length;
      await world.store.save(ended);
      for (let place = 0; place < 5; place++) {
        const { store } = await world.restart();
        const asked: Promise<unknown>[] = [];
        for (let step = 0; step < 6; step++) {
          if (step === place) asked.push(store.tasks.list(EVERYTHING));
          const task = newTask(++seq);
          await store.save([task]);
          await store.save([cancel(task)]);
          ended.push(task);
          assert.ok(await store.tasks.remove(ended.shift()!.id));
        }
        await Promise.all(asked);
        await checkFilter(store, ended, EVERYTHING);
        for (const status of ["queued", "canceled"] as const)
          await checkFilter(store, ended, { ...EVERYTHING, status, user: "ada" });
      }
    });

    test("pages by `after` have every task once, whatever is added in front meanwhile", async (t) => {
      const { store } = await opened(t, make);
      const tasks = Array.from({ length: 50 }, (_, index) =>
        newTask(index + 1, { boundTo: index % 2, team: index % 3 === 0 ? "sales" : null }),
      );
      await store.save(tasks);
      for (const filter of [{ gpuId: 1 }, { user: "ada" }, { team: "sales" }, { status: "queued" }, {}] as const) {
        const expected = (await store.tasks.list({ ...EVERYTHING, ...filter })).tasks.map((task) => task.seq);
        const seen: number[] = [];
        let after: number | undefined;
        do {
          const page = await store.tasks.list({ ...EVERYTHING, ...filter, limit: 7, after });
          seen.push(...page.tasks.map((task) => task.seq));
          after = page.tasks.at(-1)?.seq;
          const task = newTask(tasks.length + 1, { boundTo: 1 });
          tasks.push(task);
          await store.save([task]);
        } while (after !== undefined);
        assert.deepEqual(seen, expected);
      }
    });

    test("the history has all tasks in the order of submission, in parts, and what each took without its texts", async (t) => {
      const world = await opened(t, make);
      const long = { text: "the same beginning ".repeat(80), maxTokens: 7 };
      const tasks = [
        complete(run(newTask(1, { user: "bob", taskType: "chat", priority: "high", model: "small" }))),
        newTask(3, long),
        cancel(newTask(5)),
        complete(run(newTask(4, { createdClock: 77 }))),
      ];
      await world.store.save(tasks);
      const { store } = await world.restart();
      const inParts: PastTask[] = [];
      for (let after = 0; ; after = inParts.at(-1)!.seq) {
        const part = await store.tasks.history(after, 3);
        inParts.push(...part);
        if (part.length < 3) break;
      }
      const expected = tasks.toSorted((one, other) => one.seq - other.seq).map(pastOf);
      assert.deepEqual(inParts, expected);
      assert.deepEqual(await store.tasks.history(4, 9), expected.slice(3));
      assert.ok(expected[1]!.prefix.length > 1);
    });

    test("a list has no vectors, which a task and the ends of a batch have", async (t) => {
      const { store } = await opened(t, make);
      const batchId = randomUUID();
      const task = complete(run(newTask(1, { batchId })));
      task.result = { ...task.result!, reasoning: "hm", embeddings: ["AACAPw==", "AAAAAA=="] };
      await store.save([task]);
      const { embeddings, ...light } = task.result;
      assert.deepEqual((await store.tasks.list(EVERYTHING)).tasks[0]?.result, light);
      assert.deepEqual((await store.tasks.get(task.id))?.result?.embeddings, embeddings);
      assert.deepEqual((await store.tasks.endsOf(batchId, 0, 9))[0]?.result, task.result);
    });

    test("a list is read in parts of so many characters, one task at least, and the parts are the list", async (t) => {
      const { store } = await opened(t, make);
      await store.save(Array.from({ length: 9 }, (_, index) => newTask(index + 1)));
      for (const filter of [EVERYTHING, { ...EVERYTHING, since: 0 }]) {
        const whole = (await store.tasks.list({ ...filter, limit: 5 })).tasks.map(({ seq }) => seq);
        assert.equal(whole.length, 5);
        const first = await store.tasks.list({ ...filter, limit: 5 }, { maxCharacters: 1, counted: true });
        assert.deepEqual([first.tasks.length, first.more], [1, true]);
        const seqs = [first.tasks[0]!.seq];
        for (let more: true | undefined = true; more === true;) {
          const page = { ...filter, after: seqs.at(-1)!, limit: 5 - seqs.length };
          const part: ListedPage = await store.tasks.list(page, { maxCharacters: 1, counted: false });
          assert.deepEqual([part.tasks.length, part.total], [1, 0]);
          seqs.push(part.tasks[0]!.seq);
          more = part.more;
        }
        assert.deepEqual(seqs, whole);
        assert(first.total >= 5);
      }
    });

    test("a sweep removes what a plain search finds to be due, and nothing else", async (t) => {
      const time = fc.integer({ min: NOW, max: NOW + 100 });
      const limits = fc.record({
        endedBefore: time,
        maxEnded: fc.option(fc.nat(30)),
        keysBefore: time,
        usageBefore: time,
      });
      const property = fc.asyncProperty(
        anyTasks(),
        fc.array(limits, { minLength: 1, maxLength: 3 }),
        async (tasks, all) => {
          const world = await opened(t, make);
          await world.store.save(tasks);
          let left = tasks;
          for (const one of all) {
            left = swept(left, one);
            await sweepAll(world.store, one);
            assert.deepEqual(
              (await storedSeqs(world.store)).toReversed(),
              left.map((task) => task.seq),
            );
            assert.equal((await world.store.tasks.list(EVERYTHING)).total, left.length);
          }
          await world.restart();
          assert.deepEqual(world.first.live, tasks.filter((task) => !isFinal(task.status)).map(withoutRequest));
          assert.equal(world.first.lastSeq, tasks.at(-1)?.seq ?? 0);
          await world.store.close();
        },
      );
      await fc.assert(property, { numRuns: 8 });
    });

    test("a sweep of many tasks takes small steps, and saves made between them resolve in order", async (t) => {
      const { store } = await opened(t, make);
      const count = 3000;
      const old = Array.from({ length: count }, (_, index) => complete(run(newTask(index + 1))));
      await store.save([newTask(count + 1), ...old]);
      const order: number[] = [];
      const saves: Promise<unknown>[] = [];
      let seq = count + 1;
      let steps = 0;
      for (let more = true; more; steps++) {
        const step = store.sweep({ endedBefore: NOW + 1_000_000, maxEnded: null, keysBefore: 0, usageBefore: 0 });
        const task = newTask(++seq);
        saves.push(store.save([task]).then(() => order.push(task.seq)));
        more = await step;
        // A save waits for one step at most: it was called before the next one.
        await saves.at(-1);
      }
      assert.ok(steps > 3, `${steps} steps`);
      assert.deepEqual(
        order,
        Array.from({ length: steps }, (_, index) => count + 2 + index),
      );
      assert.deepEqual(await storedSeqs(store), [...order.toReversed(), count + 1]);
    });

    test("old tasks that still wait, or ended late, do not keep others from being swept", async (t) => {
      const { store } = await opened(t, make);
      const waiting = Array.from({ length: 1500 }, (_, index) => newTask(index + 1));
      const late = Array.from({ length: 1500 }, (_, index) => cancel(newTask(1501 + index)));
      for (const task of late) task.finishedClock = task.finishedAt = NOW + 2_000_000;
      const due = [cancel(newTask(3001)), complete(run(newTask(3002)))];
      await store.save([...waiting, ...late, ...due]);
      assert.equal(
        await store.sweep({ endedBefore: NOW + 1_000_000, maxEnded: null, keysBefore: 0, usageBefore: 0 }),
        true,
      );
      assert.equal(
        await store.sweep({ endedBefore: NOW + 1_000_000, maxEnded: null, keysBefore: 0, usageBefore: 0 }),
        false,
      );
      assert.equal((await store.tasks.list(EVERYTHING)).total, 3000);
      for (const task of due) assert.equal(await store.tasks.get(task.id), null);
    });
  });
}

async function sweepAll(store: Store, limits: SweepLimits): Promise<void> {
  while (await store.sweep(limits));
}

/** What a sweep leaves of tasks in submission order. */
function swept(tasks: readonly Task[], { endedBefore, maxEnded }: SweepLimits): Task[] {
  const young = tasks.filter((task) => !isFinal(task.status) || (task.finishedAt ?? 0) >= endedBefore);
  const ended = young.filter((task) => isFinal(task.status));
  const surplus = new Set(ended.slice(0, Math.max(0, ended.length - (maxEnded ?? ended.length))));
  return young.filter((task) => !surplus.has(task));
}

async function checkFilter(store: Store, tasks: readonly Task[], filter: TaskFilter): Promise<void> {
  const matching = tasks.filter((task) => matches(task, filter)).toReversed();
  const listed = matching.filter((task) => filter.after === undefined || task.seq < filter.after);
  assert.deepEqual(await store.tasks.list(filter), {
    tasks: listed.slice(filter.offset, filter.offset + filter.limit).map(withoutText),
    total: matching.length,
  });
}

function matches(
  task: Task,
  { user, team, status, batchId, taskType, gpuId, model, since, until }: TaskFilter,
): boolean {
  return (
    (user === undefined || task.user === user) &&
    (team === undefined || task.team === team) &&
    (status === undefined || task.status === status) &&
    (batchId === undefined || task.batchId === batchId) &&
    (taskType === undefined || task.taskType === taskType) &&
    (gpuId === undefined || shownGpuId(task) === gpuId) &&
    (model === undefined || (task.ranModel ?? task.model) === model) &&
    (since === undefined || task.createdAt >= since) &&
    (until === undefined || task.createdAt < until)
  );
}

/** Tasks in submission order, some of them far apart, made and ended at any time: clocks step back. */
function anyTasks(): fc.Arbitrary<Task[]> {
  const draft = fc.record({
    gap: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.constantFrom(9_999, 10_000, 10_001, 1_000_000)),
    user: fc.constantFrom("ada", "bob"),
    team: fc.constantFrom("sales", "research", null),
    status: fc.constantFrom(...TASK_STATUSES),
    batchId: fc.constantFrom("b1", "b2", null, null),
    taskType: fc.constantFrom("text_generation", "summary"),
    boundTo: fc.constantFrom(0, 1, null),
    model: fc.constantFrom("small", "large", null),
    ranModel: fc.constantFrom("large", null, null),
    createdAt: fc.integer({ min: NOW, max: NOW + 100 }),
    endedAt: fc.integer({ min: NOW, max: NOW + 100 }),
  });
  return fc.array(draft, { maxLength: 60 }).map((drafts) => {
    let seq = 0;
    return drafts.map(({ gap, endedAt, ...fields }) =>
      newTask((seq += gap), { ...fields, ...endsAt(isFinal(fields.status) ? endedAt : null) }),
    );
  });
}

function maybe<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.option(arbitrary, { nil: undefined });
}

function anyFilter(): fc.Arbitrary<TaskFilter> {
  const time = fc.integer({ min: NOW - 1, max: NOW + 101 });
  return fc.record({
    user: maybe(fc.constantFrom("ada", "bob", "nobody")),
    team: maybe(fc.constantFrom("sales", "research", "none")),
    status: maybe(fc.constantFrom(...TASK_STATUSES)),
    batchId: fc.option(fc.constantFrom("b1", "b2", "none"), { nil: undefined, freq: 2 }),
    taskType: maybe(fc.constantFrom("text_generation", "summary", "none")),
    gpuId: maybe(fc.constantFrom(0, 1, 7)),
    model: fc.option(fc.constantFrom("small", "large", "none"), { nil: undefined, freq: 2 }),
    since: maybe(time),
    until: maybe(time),
    after: maybe(fc.nat(100_000)),
    limit: fc.constantFrom(1000, 0, 1, 3),
    offset: fc.constantFrom(0, 0, 1, 5, 1000),
  });
}

/** When a task ends, by both clocks. */
function endsAt(time: number | null): Pick<Task, "finishedAt" | "finishedClock"> {
  return { finishedAt: time, finishedClock: time };
}
