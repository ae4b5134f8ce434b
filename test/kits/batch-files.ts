/* What every store promises about batches that come from files (src/store/batch-files.ts). */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { BatchFile, BatchFileRecord, BatchProgress, LineFault, RefusedLine } from "../../src/store/batch-files.ts";
import { type Store } from "../../src/store/store.ts";
import { type BatchLines, PRIORITIES, type Task } from "../../src/task.ts";
import { cancel, type MakePlace, newBatch, newTask, opened } from "../helpers/store.ts";
import { anyId, maybe, plain, text, time } from "./arbitraries.ts";
import { NOW } from "./records.ts";

const KEEPS = { endedBefore: NOW - 1, maxEnded: null, keysBefore: 0, usageBefore: 0 };

/** @param name of the store @param make see `MakePlace` */
export function exerciseBatchFiles(name: string, make: MakePlace): void {
  describe(name, () => {
    test("every field of a batch of a file comes back as it was, also as it changes", async (t) => {
      const { store } = await opened(t, make);
      const property = fc.asyncProperty(anyBatchFile(), anyBatchFile(), async (file, later) => {
        await store.save([], [record(file)]);
        assert.deepEqual(await store.batchFiles.find(file.id), file);
        const { id, user, team } = file;
        const changed = { ...later, id, user, team };
        await store.save([], [record(changed)]);
        assert.deepEqual(await store.batchFiles.find(id), changed);
        for (const output of [changed.outputFile, changed.errorFile])
          if (output !== null) assert.deepEqual(await store.batchFiles.ofOutput(output), changed);
      });
      await fc.assert(property, { numRuns: 50 });
      assert.equal(await store.batchFiles.find("nothing"), null);
      assert.equal(await store.batchFiles.ofOutput("nothing"), null);
    });

    test("batches of files are listed newest first, by user, by team and page by page; the unfinished ones oldest first", async (t) => {
      const { store } = await opened(t, make);
      for (const [id, user, endedAt, team] of [
        ["a", "ada", null, null],
        ["b", "bob", null, "sales"],
        ["c", "ada", NOW, "sales"],
        ["d", "ada", null, "research"],
      ] as const)
        await store.save([], [record(batchFile({ id, user, endedAt, team }))]);
      const listed = async (user: string | undefined, after: string | undefined, limit = 10): Promise<string> =>
        idsOf(await store.batchFiles.list({ user, after, limit }));
      assert.equal(await listed(undefined, undefined), "dcba");
      assert.equal(await listed("ada", undefined, 2), "dc");
      assert.equal(await listed("ada", "c"), "a");
      assert.equal(await listed(undefined, "b"), "a");
      assert.equal(await listed("ada", "nothing"), "");
      const ofTeam = async (team: string, user?: string, after?: string): Promise<string> =>
        idsOf(await store.batchFiles.list({ user, team, after, limit: 10 }));
      assert.deepEqual([await ofTeam("sales"), await ofTeam("sales", "ada"), await ofTeam("none")], ["cb", "c", ""]);
      assert.equal(await ofTeam("sales", undefined, "c"), "b");
      // A change keeps its place.
      await store.save([], [record(batchFile({ id: "a", user: "ada", endedAt: NOW }))]);
      assert.equal(await listed("ada", undefined), "dca");
      assert.equal(idsOf(await store.batchFiles.unfinished()), "bd");
    });

    test("outputs are listed in the order of their ids, by user, by team and part by part", async (t) => {
      const { store } = await opened(t, make);
      for (const [user, outputFile, errorFile, team] of [
        ["ada", "1", "4", null],
        ["bob", "2", null, "sales"],
        ["ada", "5", "3", "sales"],
        ["ada", null, null, "sales"],
      ] as const)
        await store.save([], [record(batchFile({ user, outputFile, errorFile, team }))]);
      const listed = async (
        user: string | undefined,
        order: "asc" | "desc",
        after?: string,
        limit = 9,
      ): Promise<string> => {
        const outputs = await store.batchFiles.outputs({ user, order, after, limit });
        for (const { id, file } of outputs) assert.ok(id === file.outputFile || id === file.errorFile);
        return outputs.map(({ id }) => id).join("");
      };
      assert.equal(await listed(undefined, "asc"), "12345");
      assert.equal(await listed(undefined, "desc", undefined, 2), "54");
      assert.equal(await listed("ada", "desc", "4"), "31");
      assert.equal(await listed("ada", "asc", "1", 2), "34");
      const ofTeam = { user: undefined, team: "sales", order: "asc", after: undefined, limit: 9 } as const;
      assert.deepEqual(
        (await store.batchFiles.outputs(ofTeam)).map(({ id }) => id),
        ["2", "3", "5"],
      );
    });

    test("refused lines come back as they were, in their order and part by part", async (t) => {
      const { store } = await opened(t, make);
      const lines = [9, 4, 7].map((seq) => refusedLine(seq, { customId: seq === 4 ? null : `line ${seq}` }));
      await store.save([], lines);
      const read = async (from: number, to: number, limit: number) => store.batchFiles.refusedIn(from, to, limit);
      assert.deepEqual(
        await read(1, 100, 100),
        lines.map(({ line }) => line).toSorted((a, b) => a.seq - b.seq),
      );
      assert.deepEqual(
        (await read(5, 9, 1)).map(({ seq }) => seq),
        [7],
      );
    });

    test("lines to come count as queued, and refused ones as failed; no other task gets their numbers", async (t) => {
      const world = await opened(t, make);
      const tasks = [cancel(newTask(3, { batchId: "b" })), newTask(5, { batchId: "b" })];
      const save = (lines: Partial<BatchLines>): Promise<void> =>
        world.store.save([], [{ kind: "batch", batch: { ...newBatch(tasks), size: 10, lines: linesOf(lines) } }]);
      await world.store.save(tasks);
      await save({ toCome: 5, failed: 2, canceled: 1 });
      const counts = async () => (await world.store.tasks.batch("b"))?.counts;
      const before = { queued: 6, running: 0, completed: 0, failed: 2, canceled: 2 };
      assert.deepEqual(await counts(), before);
      assert.equal((await world.store.tasks.batch("b"))?.unbound, 6);
      await save({ toCome: 5, failed: 2, canceled: 1, closed: { why: "canceled", at: NOW } });
      assert.deepEqual(await counts(), { ...before, queued: 1, canceled: 7 });
      await save({ toCome: 5, failed: 2, canceled: 1, closed: { why: "expired", at: NOW } });
      assert.deepEqual(await counts(), { ...before, queued: 1, failed: 7 });
      assert.equal((await world.store.tasks.batch("b"))?.unbound, 1);
      const { first } = await world.restart();
      assert.equal(first.lastSeq, 12);
      assert.deepEqual(first.batches[0]?.lines?.toCome, 5);
    });

    test("ended tasks are read by their numbers, part by part", async (t) => {
      const { store } = await opened(t, make);
      await store.save([2, 4, 6, 8].map((seq) => (seq === 6 ? newTask(seq) : cancel(newTask(seq)))));
      const read = async (from: number, to: number, limit: number): Promise<number[]> =>
        (await store.tasks.endsIn(from, to, limit)).map(({ seq }) => seq);
      assert.deepEqual(await read(1, 8, 10), [2, 4, 8]);
      assert.deepEqual(await read(3, 8, 1), [4]);
      assert.deepEqual(await read(5, 7, 10), []);
    });

    test("it goes with the last task of its batch, and its refused lines with it", async (t) => {
      const { store } = await opened(t, make);
      const tasks = [cancel(newTask(1, { batchId: "b" })), cancel(newTask(2, { batchId: "b" }))];
      await store.save(tasks, [...endedBatch(tasks, { failed: 1 }), refusedLine(3), refusedLine(4)]);
      await store.tasks.remove(tasks[0]!.id);
      while (await store.sweep(KEEPS));
      assert.notEqual(await store.batchFiles.find("b"), null);
      await store.tasks.remove(tasks[1]!.id);
      assert.equal(await store.tasks.batch("b"), null);
      assert.equal(await store.batchFiles.find("b"), null);
      // The one behind its last line is another batch's.
      assert.deepEqual(await seqsOf(store), [4]);
    });

    test("one that never had a task goes when it is as old as tasks become", async (t) => {
      const { store } = await opened(t, make);
      await store.save([], [...endedBatch([newTask(1, { batchId: "b" })], { failed: 1 }), refusedLine(1)]);
      await store.save([], [record(batchFile({ id: "faulty", endedAt: NOW })), record(batchFile({ id: "new" }))]);
      while (await store.sweep(KEEPS));
      assert.equal(idsOf(await store.batchFiles.list({ user: undefined, after: undefined, limit: 9 })), "newfaultyb");
      assert.notEqual(await store.tasks.batch("b"), null);
      while (await store.sweep({ ...KEEPS, endedBefore: NOW + 1 }));
      assert.equal(idsOf(await store.batchFiles.list({ user: undefined, after: undefined, limit: 9 })), "new");
      assert.equal(await store.tasks.batch("b"), null);
      assert.deepEqual(await seqsOf(store), []);
    });
  });
}

/** A batch of a file that has ended, at `NOW`; its tasks come before its lines that are none. */
function endedBatch(tasks: readonly Task[], { failed }: { readonly failed: number }) {
  const size = tasks.length === 1 ? failed : tasks.length + failed;
  const batch = { ...newBatch(tasks, { finishedAt: NOW }), size, lines: linesOf({ failed }) };
  return [{ kind: "batch", batch } as const, record(batchFile({ id: batch.id, endedAt: NOW }))];
}

async function seqsOf(store: Store): Promise<number[]> {
  return (await store.batchFiles.refusedIn(0, 100, 100)).map(({ seq }) => seq);
}

function idsOf(files: readonly BatchFile[]): string {
  return files.map(({ id }) => id).join("");
}

function linesOf(fields: Partial<BatchLines>): BatchLines {
  return { toCome: 0, failed: 0, canceled: 0, place: 0, closed: null, ...fields };
}

export function batchFile(fields: Partial<BatchFile> = {}): BatchFile {
  return {
    id: randomUUID(),
    user: "ada",
    team: null,
    keyName: null,
    inputFile: randomUUID(),
    outputFile: randomUUID(),
    errorFile: randomUUID(),
    endpoint: "/v1/chat/completions",
    window: "24h",
    priority: "low",
    metadata: null,
    createdAt: NOW,
    expiresAt: NOW + 1000,
    deadline: NOW + 1000,
    outputLifetime: null,
    startedAt: null,
    canceledAt: null,
    failedAt: null,
    faults: [],
    outcome: null,
    endedAt: null,
    ...fields,
  };
}

function record(file: BatchFile): BatchFileRecord {
  return { kind: "batch_file", file };
}

export function refusedLine(seq: number, fields: Partial<RefusedLine> = {}) {
  const failure = { code: "model_not_found", sentence: `Line ${seq} is wrong.`, param: "model" } as const;
  return { kind: "refused_line", line: { seq, customId: "a", failure, ...fields } } as const;
}

function anyBatchFile(): fc.Arbitrary<BatchFile> {
  const fault = plain<LineFault>({ line: maybe(fc.nat()), code: text(), sentence: text(), param: maybe(text()) });
  return plain<BatchFile>({
    id: anyId(),
    user: text(),
    team: maybe(text()),
    keyName: maybe(text()),
    inputFile: text(),
    outputFile: maybe(anyId()),
    errorFile: maybe(anyId()),
    endpoint: text(),
    window: text(),
    priority: fc.constantFrom(...PRIORITIES),
    metadata: maybe(fc.dictionary(text(), text(), { noNullPrototype: true })),
    createdAt: time(),
    expiresAt: time(),
    deadline: time(),
    outputLifetime: maybe(fc.nat()),
    startedAt: maybe(time()),
    canceledAt: maybe(time()),
    failedAt: maybe(time()),
    faults: fc.array(fault, { maxLength: 3 }),
    outcome: maybe(anyProgress()),
    endedAt: maybe(time()),
  });
}

function anyProgress(): fc.Arbitrary<BatchProgress> {
  const why = fc.constantFrom("canceled" as const, "expired" as const, "failed" as const);
  return plain<BatchProgress>({
    size: fc.nat(),
    completed: fc.nat(),
    failed: fc.nat(),
    canceled: fc.nat(),
    finishedAt: maybe(time()),
    closed: maybe(plain<NonNullable<BatchProgress["closed"]>>({ why, at: time() })),
  });
}
