/** Long lists are written in pieces: between two of them the event loop turns, and everybody else is served. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { mapInTurns, sortedInTurns } from "../src/common/turns.ts";
import { type UsageRow } from "../src/store/usage.ts";
import { aCompletedTask, AS, BATCH_ID, aBatch, get, testServer, USAGE } from "./helpers/http.ts";

/** Counts what is looked at between two turns of the event loop. */
class Watched {
  most = 0;
  all = 0;
  #now = 0;
  #isOver = false;

  constructor() {
    const turn = (): void => {
      this.#now = 0;
      if (!this.#isOver) setImmediate(turn);
    };
    setImmediate(turn);
  }

  look(): void {
    this.all++;
    this.most = Math.max(this.most, ++this.#now);
  }

  stop(): void {
    this.#isOver = true;
  }

  /** A copy of which it is counted when this field is read. */
  watch<Item extends object, Field extends keyof Item>(item: Item, field: Field): Item {
    const value = item[field];
    return Object.defineProperty({ ...item }, field, {
      enumerable: true,
      get: () => {
        this.look();
        return value;
      },
    });
  }
}

test("a list of a thousand tasks, and the results of a batch, let others be served after every hundred", async (t) => {
  const { app, tasks } = testServer(t);
  const all = Array.from({ length: 1000 }, (_, index) => {
    const id = `123e4567-e89b-12d3-a456-${String(index).padStart(12, "0")}`;
    return aCompletedTask({ id, seq: 1000 - index });
  });
  const plain = Object.fromEntries(all.map((task) => [task.id, "completed"]));
  for (const path of ["/tasks?limit=1000", `/batch/${BATCH_ID}/results`]) {
    const watched = new Watched();
    const seen = all.map((task) => watched.watch(task, "timeoutSeconds"));
    tasks.batches = [aBatch()];
    tasks.tasks = seen;
    tasks.results = seen;
    const answer = await get(app, path, AS.admin);
    watched.stop();
    assert.equal(answer.statusCode, 200);
    assert.ok(watched.all >= 1000 && watched.most <= 100, `${path}: ${watched.most} of ${watched.all} at once`);
    const views = path.startsWith("/tasks")
      ? Object.values(answer.json<{ tasks: Record<string, { task_id: string; status: string }> }>().tasks)
      : answer.body
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line) as { task_id: string; status: string });
    assert.deepEqual(Object.fromEntries(views.map((view) => [view.task_id, view.status])), plain);
  }
});

test("usage of many rows is added up, sorted and written in turns, as JSON and as CSV", async (t) => {
  const watched = new Watched();
  const hours = Array.from({ length: 5000 }, (_, index) => (index * 7919) % 5000);
  const rows = hours.map((hour): UsageRow => watched.watch({ ...USAGE, hour: USAGE.hour! - hour }, "completed"));
  const usage = {
    sums: async function* () {
      yield rows;
    },
  };
  const { app } = testServer(t, undefined, { usage });
  const query = "/usage?by=hour&from=2024-01-01&to=2025-12-31";
  const answer = (await get(app, query, AS.admin)).json<{ rows: { hour: string; tasks: number }[]; by: string[] }>();
  const table = (await get(app, `${query}&format=csv`, AS.admin)).body.trim().split("\r\n");
  watched.stop();
  assert.ok(watched.all >= 10_000 && watched.most <= 2000, `${watched.most} of ${watched.all} at once`);
  const found = answer.rows.map(({ hour }) => hour);
  assert.deepEqual(found, found.toSorted());
  assert.equal(new Set(found).size, 5000);
  assert.deepEqual(answer.by, ["hour"]);
  assert.deepEqual(
    table.slice(1).map((line) => line.split(",")[0]),
    found,
  );
});

function byKey(one: { readonly key: number }, other: { readonly key: number }): number {
  return one.key - other.key;
}

test("what is done in turns comes to what it comes to at once", async () => {
  const things = fc.array(fc.record({ key: fc.integer({ min: 0, max: 5 }), name: fc.string() }), { maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(things, fc.integer({ min: 1, max: 9 }), async (items, atOnce) => {
      assert.deepEqual(await sortedInTurns(items, byKey, atOnce), items.toSorted(byKey));
      assert.deepEqual(
        await mapInTurns(items, ({ name }) => name.length, atOnce),
        items.map(({ name }) => name.length),
      );
    }),
    { numRuns: 30 },
  );
});
