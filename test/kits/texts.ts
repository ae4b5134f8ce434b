/* What every store promises about texts that are not simply kept (src/store/tasks.ts), and about users with a retention of their own. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { errorWithoutText } from "../../src/gone-texts.ts";
import { completionOf, factsOf } from "../../src/request.ts";
import type { Task } from "../../src/task.ts";
import {
  complete,
  EVERYTHING,
  type MakePlace,
  newDelivery,
  newTask,
  opened,
  run,
  storedSeqs,
  storedTask,
  turn,
} from "../helpers/store.ts";
import type { TaskChanges } from "../helpers/requests.ts";
import { event } from "./records.ts";

const NOTHING_DUE = { endedBefore: 0, maxEnded: null, keysBefore: 0, usageBefore: 0 };
const SECRET = completionOf("secret prompt", { stop: ["secret stop"] });
const SECRETS = { request: SECRET, sampling: SECRET.sampling, ...factsOf(SECRET) };

/** A task that has run, with an answer of its own. */
function ended(seq: number, changes: TaskChanges = {}): Task {
  const task = complete(run(newTask(seq, { ...SECRETS, ...changes })));
  task.attempts[0]!.error = "the server said: secret words";
  task.result = { ...task.result!, text: "secret answer", reasoning: "secret thought" };
  return task;
}

/** One of a user that ended half a second after so many. */
function at(seq: number, user: string): Task {
  return ended(seq, { user, createdAt: seq * 1000, createdClock: seq * 1000 });
}

/** All that a store has of a task. */
async function allOf({ store }: Awaited<ReturnType<typeof opened>>, id: string): Promise<string> {
  const task = await storedTask(store, id);
  const listed = (await store.tasks.list(EVERYTHING)).tasks.find((one) => one.id === id);
  const deliveries = await store.outbox.deliveriesOf(id);
  const notes = await store.tasks.notes([task?.seq ?? 0]);
  return JSON.stringify([task, listed, deliveries, [...notes]]);
}

/** @param name of the store @param make see `MakePlace` */
export function exerciseTexts(name: string, make: MakePlace): void {
  describe(name, () => {
    test("of a task whose texts are never stored, the numbers come back and no text", async (t) => {
      const world = await opened(t, make);
      const task = { ...newTask(1, SECRETS), texts: "never" as const };
      await world.store.save([task]);
      assert.equal(await world.store.tasks.request(1), null);
      Object.assign(task, { status: "completed", finishedAt: 5, result: ended(1).result });
      await world.store.save([task]);
      for (const restarted of [false, true]) {
        const now = restarted ? await world.restart() : world;
        const stored = await now.store.tasks.get(task.id);
        assert.deepEqual([stored?.texts, stored?.status, stored?.result], ["never", "completed", null]);
        assert.doesNotMatch(await allOf(now, task.id), /secret/);
      }
    });

    test("one that has not ended is there after a restart, without its request", async (t) => {
      const world = await opened(t, make);
      await world.store.save([{ ...newTask(1), texts: "never" }]);
      const { first, store } = await world.restart();
      assert.deepEqual(
        first.live.map(({ seq, texts, request }) => [seq, texts, request]),
        [[1, "never", null]],
      );
      assert.equal(await store.tasks.request(1), null);
    });

    test("what is kept until it was read is there until then; all else of the task stays", async (t) => {
      const world = await opened(t, make);
      const { store } = world;
      const task = ended(1, { texts: "until_read" });
      const live = newTask(2, { texts: "until_read" });
      const kept = ended(3);
      const about = newDelivery(task.id, {
        body: JSON.stringify({ type: "task.completed", data: { task_id: task.id, result: { text: "secret answer" } } }),
      });
      await store.save(
        [task, live, kept],
        [event(about), { kind: "note", seq: 1, note: '{"api":"response","a":"secret"}' }],
      );
      assert.deepEqual(await storedTask(store, task.id), task);
      assert.doesNotMatch(
        JSON.stringify((await store.tasks.list(EVERYTHING)).tasks.find(({ seq }) => seq === 1)),
        /answer|thought/,
      );
      assert.equal(await store.tasks.removeTexts([1, 2, 3, 4]), true);
      assert.equal(await store.tasks.removeTexts([1, 2, 3, 4]), false);
      assert.doesNotMatch(await allOf(world, task.id), /secret/);
      const after = await store.tasks.get(task.id);
      assert.deepEqual(
        [after?.texts, after?.status, after?.result, after?.finishedAt, after?.attempts.length],
        ["removed", "completed", null, task.finishedAt, 1],
      );
      assert.deepEqual(JSON.parse((await store.outbox.deliveriesOf(task.id))[0]!.body), {
        type: "task.completed",
        data: { task_id: task.id, texts: "removed" },
      });
      assert.deepEqual(await storedTask(store, kept.id), kept);
      assert.deepEqual(await storedTask(store, live.id), live);
    });

    test("of the note of a batch's line, the name that its client gave it stays", async (t) => {
      const { store } = await opened(t, make);
      const note = JSON.stringify({ api: "line", custom_id: "line 7", kept: { metadata: "secret" } });
      await store.save([ended(1, { texts: "until_read" })], [{ kind: "note", seq: 1, note }]);
      await store.tasks.removeTexts([1]);
      assert.deepEqual(JSON.parse((await store.tasks.notes([1])).get(1)!), { custom_id: "line 7" });
    });

    test("an acknowledged webhook of its end has read it; one of its start has not", async (t) => {
      const world = await opened(t, make);
      const { store } = world;
      const task = ended(1, { texts: "until_read" });
      const [start, end] = [newDelivery(task.id, { event: "task.running" }), newDelivery(task.id)];
      await store.save([task], [event(start), event(end)]);
      const delivered = async (delivery: typeof start): Promise<void> =>
        store.outbox.write([{ kind: "delivery", delivery: { ...delivery, status: "delivered" } }]);
      await delivered(start);
      assert.equal((await store.tasks.get(task.id))?.texts, "until_read");
      await store.outbox.write([{ kind: "delivery", delivery: { ...end, status: "failed" } }]);
      assert.equal((await store.tasks.get(task.id))?.texts, "until_read");
      await delivered(end);
      assert.equal((await store.tasks.get(task.id))?.texts, "removed");
      assert.doesNotMatch(await allOf(world, task.id), /secret/);
    });

    test("a sweep removes the texts that nobody has read in time, and no task", async (t) => {
      const { store } = await opened(t, make);
      const tasks = [1, 2, 3].map((seq) => ended(seq, { texts: "until_read" }));
      await store.save(tasks);
      const unreadBefore = tasks[1]!.finishedClock! + 1;
      while (await store.sweep({ ...NOTHING_DUE, unreadBefore })) await turn();
      assert.deepEqual(await Promise.all(tasks.map(async ({ id }) => (await store.tasks.get(id))?.texts)), [
        "removed",
        "removed",
        "until_read",
      ]);
    });

    test("a failure loses the words of engines, and keeps its code", async (t) => {
      const { store } = await opened(t, make);
      const error = { code: "model_error", sentence: "the server said: secret" } as const;
      const task = { ...ended(1, { texts: "until_read" }), status: "failed", result: null, error } as const;
      await store.save([task]);
      await store.tasks.removeTexts([1]);
      assert.deepEqual((await store.tasks.get(task.id))?.error, errorWithoutText(error));
    });

    test("a user's own retention is shorter or longer than that of others", async (t) => {
      const { store } = await opened(t, make);
      await store.save(["ada", "bob", "cyd", "ada", "bob", "cyd"].map((user, index) => at(index + 1, user)));
      const limits = {
        ...NOTHING_DUE,
        endedBefore: 3600,
        ofUsers: [
          { user: "ada", endedBefore: 0 },
          { user: "bob", endedBefore: 100_000 },
        ],
      };
      assert.equal(await store.tasks.countEnded(limits.endedBefore, limits.ofUsers), 3);
      while (await store.sweep(limits)) await turn();
      assert.deepEqual(await storedSeqs(store), [6, 4, 1]);
      while (await store.sweep({ ...limits, ofUsers: [] })) await turn();
      assert.deepEqual(await storedSeqs(store), [6, 4]);
    });
  });
}
