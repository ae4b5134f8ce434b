/** A store with something of every kind in it, hard values among them; and all that ports read of a store. */
import { randomUUID } from "node:crypto";
import type { Store, StoreRecord } from "../../src/store/store.ts";
import type { Task } from "../../src/task.ts";
import { batchFile, refusedLine } from "../kits/batch-files.ts";
import { AUDIT_ROW, ALL_ROWS, ENDPOINT, FILE, idempotency, KEY, NOW, SECRET } from "../kits/records.ts";
import { cancel, complete, newBatch, newDelivery, newTask, run } from "./store.ts";

/** What databases like to change: U+0000, U+0001, no BMP, quotes, backslashes, a BOM, line ends. */
export const HARD = "\0 \x01 \x010 \x011 😀 \"'\\{},NULL \uFEFF \r\n\t é";
const USERS = ["ada", "bob", "eve 😀", "ö\x01"];

/** @param tasks so many */
export async function fill(store: Store, tasks = 40): Promise<void> {
  const all = Array.from({ length: tasks }, (_, index) => taskOf(index + 1));
  const batched = all.filter(({ batchId }) => batchId !== null);
  await store.save(all, all.flatMap(recordsOf));
  for (const task of all) if (task.seq % 4 === 0) complete(run(task));
  const ended = all.filter(({ seq }) => seq % 4 === 0);
  await store.save(ended, [...OTHERS, { kind: "batch", batch: newBatch(batched) }]);
  // Numbers of what is gone are never given again.
  const last = newTask(tasks + 5);
  await store.save([cancel(last)]);
  await store.tasks.remove(last.id);
}

function taskOf(seq: number): Task {
  const user = USERS[seq % USERS.length]!;
  // One is longer than what is read at once. Even ones have requests that are too long for their rows.
  const usual = `prompt ${seq}${seq % 2 === 0 ? " and so on".repeat(60) : ""}`;
  const text = seq === 5 ? `${HARD}${"long ".repeat(1_200_000)}` : seq % 5 === 0 ? HARD : usual;
  const [keyName, team] = [seq % 2 === 0 ? HARD : null, seq % 3 === 0 ? "sales" : null];
  const batchId = seq === 1 || seq === 2 ? "batch one" : null;
  return newTask(seq, { user, text, keyName, team, batchId, createdAt: NOW + 0.1 + seq / 3 });
}

function recordsOf({ seq, id, user }: Task): StoreRecord[] {
  const delivery = newDelivery(id, { user, body: `{"text":${JSON.stringify(HARD)}}`, nextAt: NOW + seq / 7 });
  return [
    { kind: "note", seq, note: JSON.stringify({ custom_id: HARD, seq }) },
    { kind: "event", delivery },
    idempotency({ ...KEY, user, key: `${HARD}${seq}`, createdAt: NOW + seq }),
    { kind: "audit", row: { ...AUDIT_ROW, id: randomUUID(), user, details: HARD } },
  ];
}

const OTHERS: readonly StoreRecord[] = [
  { kind: "secret", secret: SECRET },
  { kind: "endpoint", endpoint: ENDPOINT },
  { kind: "file", file: { ...FILE, filename: HARD, lifetime: 3.25 } },
  { kind: "file_hold", id: "f", holder: "batch two" },
  {
    kind: "batch_file",
    file: batchFile({ id: "batch two", inputFile: "f", metadata: { a: HARD }, deadline: NOW + 0.5 }),
  },
  refusedLine(7000, { customId: HARD }),
  { kind: "clock", clock: { now: NOW + 0.125, wall: NOW + 3, held: { now: NOW, wall: NOW - 1 } } },
];

/** All of it, as the ports tell it. The store is open. */
export async function contentOf(store: Store): Promise<object> {
  const everybody = { user: undefined, limit: 1000 };
  const { tasks, total } = await store.tasks.list({ ...everybody, status: undefined, offset: 0 });
  const whole = [];
  for (const { id, seq } of tasks)
    whole.push({
      task: await store.tasks.get(id),
      request: await store.tasks.request(seq),
      note: (await store.tasks.notes([seq])).get(seq),
      deliveries: await store.outbox.deliveriesOf(id),
    });
  const keys = [];
  for (const { seq, user } of tasks) keys.push(await store.idempotency.find(user, `${HARD}${seq}`));
  const usage = [];
  const by = ["hour", "user", "team", "key", "model", "gpu"] as const;
  for await (const rows of store.usage.sums({ from: 0, to: 1e9, user: undefined, by })) usage.push(...rows);
  return {
    total,
    whole,
    keys,
    usage: usage.toSorted((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1)),
    storedBytes: (await store.tasks.storedBytes()).toSorted((one, other) => (one.user < other.user ? -1 : 1)),
    batch: await store.tasks.batch("batch one"),
    batchFiles: await store.batchFiles.list({ ...everybody, after: undefined }),
    lines: await store.batchFiles.refusedIn(0, 1e6, 1000),
    secrets: await store.outbox.secret(SECRET.user),
    endpoints: await store.outbox.endpoints(),
    pending: await store.outbox.pendingDeliveries(1000),
    files: await store.files.list({ ...everybody, purpose: undefined, order: "asc", after: undefined }),
    audit: await store.audit.list(ALL_ROWS),
  };
}
