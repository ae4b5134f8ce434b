/* With many stored tasks, an opening, lists and sweeps on PostgreSQL read a few rows of them, by an index, whatever is known of the table. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { Client } from "pg";
import type { PostgresStore } from "../../src/store/postgres/postgres.ts";
import type { SweepLimits } from "../../src/store/store.ts";
import type { TaskFilter } from "../../src/store/tasks.ts";
import { needsScan } from "../../src/store/thread/scans.ts";
import { connected, NO_POSTGRES, PostgresServer, PROGRAMS, storeIn } from "../helpers/postgres.ts";
import { fillOf, madeOf, START } from "../helpers/many-stored.ts";
import { EVERYTHING } from "../helpers/store.ts";

const skip = PROGRAMS === null ? NO_POSTGRES : false;
const STORED = 200_000;
/** Rows that a statement may read: a step of a sweep for each of 50 users. A window of a list is less. */
const MOST = 25_000;
/** Tasks that wait: more than that. */
const QUEUED = 30_000;
/** Pages of 8 KiB that a list of 50 by indexes may read: some for each of its tasks, and for each status. */
const MOST_PAGES = 400;
/** Times that each list is asked for: at the sixth of one form PostgreSQL may take a plan that is good for any values. */
const TIMES = 2;
const STATUSES = [undefined, "completed", "failed", "queued"] as const;
const OWNERS = [{}, { user: "user 7" }, { team: "team 3" }, { user: "user 8", team: "team 3" }];
const PLACES = [{}, { after: STORED / 2 }, { offset: 1000 }, { limit: 1000 }];
const OTHERS: readonly Partial<TaskFilter>[] = [
  { batchId: "batch 10" },
  { gpuId: 3 },
  { taskType: "text_generation" },
  { since: START + STORED - 100 },
  { user: "user 7", until: START + STORED / 2 },
];
/** All that can be asked for, but for places in the middle of what no index covers. */
const FILTERS: readonly Partial<TaskFilter>[] = [
  ...OWNERS.flatMap((owner) => STATUSES.flatMap((status) => PLACES.map((place) => ({ ...owner, status, ...place })))),
  ...OTHERS.flatMap((other) => STATUSES.map((status) => ({ ...other, status }))),
];

/** The newest that match a filter. @param removed the highest `seq` of those that are gone */
function expectedOf(filter: TaskFilter, removed: number): number[] {
  const { user, team, status, batchId, gpuId, since, until, after, limit, offset } = filter;
  const found: number[] = [];
  for (let seq = Math.min(STORED, (after ?? Infinity) - 1); seq > removed && found.length < offset + limit; seq--) {
    const made = madeOf(seq);
    const isWanted =
      (user === undefined || made.user === user) &&
      (team === undefined || made.team === team) &&
      (status === undefined || made.status === status) &&
      (batchId === undefined || made.batchId === batchId) &&
      (gpuId === undefined || made.gpuId === gpuId) &&
      (since === undefined || START + seq >= since) &&
      (until === undefined || START + seq < until);
    if (isWanted) found.push(seq);
  }
  return found.slice(offset);
}

/** Of each table, the rows that one node of a plan in the log has read. */
function rowsRead(log: readonly string[]): number {
  let most = 0;
  for (const [index, line] of log.entries()) {
    const [, rows, loops] = /Scan .*actual rows=(\d+) loops=(\d+)/.exec(line) ?? [];
    if (rows === undefined) continue;
    const [, removed = "0"] = /Rows Removed by Filter: (\d+)/.exec(log.slice(index + 1, index + 4).join(" ")) ?? [];
    most = Math.max(most, (Number(rows) + Number(removed)) * Number(loops));
  }
  return most;
}

/** The most pages that a statement in the log has read: also of entries of an index that it has passed over, which are told as no rows. */
function pagesRead(log: readonly string[]): number {
  const read = log.map((line) => /Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?/.exec(line) ?? []);
  return Math.max(0, ...read.map(([, hit = "0", fetched = "0"]) => Number(hit) + Number(fetched)));
}

/** A store with many tasks, on a server that logs the plan of each statement. */
async function filled(t: TestContext) {
  const settings = [
    "autovacuum=off",
    "shared_preload_libraries=auto_explain",
    "auto_explain.log_analyze=on",
    "auto_explain.log_timing=off",
    "auto_explain.log_buffers=on",
    "auto_explain.log_nested_statements=on",
  ];
  const server = await PostgresServer.start(settings, "trust");
  t.after(() => server.remove());
  const schema = "many";
  const open = storeIn(t, server.url(), { schema });
  const empty = open();
  await empty.open();
  await empty.close();
  const client = await connected(t, server.url());
  await client.query(`SET search_path = ${schema}; SET synchronous_commit = off; ${fillOf(STORED)}`);
  await client.query("ALTER SYSTEM SET auto_explain.log_min_duration = 0");
  await client.query("SELECT pg_reload_conf()");
  while (!server.log.some((line) => line.includes("log_min_duration"))) await client.query("SELECT 1");
  return { server, open, client };
}

/** Opens a store, and lets it count what is stored, which it does once. */
async function openedLightly(t: TestContext, server: PostgresServer, open: () => PostgresStore, live = 0) {
  const store = open();
  t.after(() => store.close());
  await isLight(server, "an opening", async () => {
    const opened = await store.open();
    assert.deepEqual([opened.lastSeq, opened.live.length], [STORED, live]);
  });
  assert.ok((await store.tasks.list({ ...EVERYTHING, limit: 0 })).total > STORED / 2);
  return store;
}

async function isLight(server: PostgresServer, what: string, work: () => Promise<unknown>): Promise<void> {
  server.log.length = 0;
  await work();
  const read = rowsRead(server.log);
  assert.ok(read <= MOST, `${what} read ${read} rows:\n${server.log.join("\n")}`);
}

/** @param removed the highest `seq` of those that are gone */
async function listsAreLight(server: PostgresServer, store: PostgresStore, removed: number): Promise<void> {
  for (const filter of FILTERS) {
    const page = { ...EVERYTHING, limit: 50, ...filter };
    const reading = { maxCharacters: 1e6, counted: filter.batchId !== undefined };
    const expected = expectedOf(page, removed);
    await isLight(server, JSON.stringify(filter), async () => {
      for (let time = 0; time < TIMES; time++) {
        const { tasks } = await store.tasks.list(page, reading);
        assert.deepEqual(
          tasks.map(({ seq }) => seq),
          expected,
          JSON.stringify(filter),
        );
      }
    });
    const pages = pagesRead(server.log);
    const isByIndex = !needsScan(page) && page.batchId === undefined && page.limit === 50 && page.offset === 0;
    if (isByIndex)
      assert.ok(pages <= MOST_PAGES, `${JSON.stringify(filter)} read ${pages} pages:\n${server.log.join("\n")}`);
  }
  await isLight(server, "a task", () => store.tasks.get("task 77777"));
  await isLight(server, "the ends of a batch", () => store.tasks.endsOf("batch 10", 10, 20));
}

async function swept(store: PostgresStore, limits: Partial<SweepLimits>): Promise<void> {
  const all = { endedBefore: 0, maxEnded: null, keysBefore: 0, usageBefore: 0, ...limits };
  while (await store.sweep(all));
}

/** @param done the highest `seq` of those that are gone @param isCounted whether the table has statistics */
async function sweepsAreLight(
  server: PostgresServer,
  store: PostgresStore,
  client: Client,
  done: number,
  isCounted: boolean,
) {
  const due = START + done;
  const stored = async (): Promise<number> =>
    Number((await client.query("SELECT count(*) FROM tasks")).rows[0].count as string);
  const removes = async (what: string, count: number, limits: Partial<SweepLimits>): Promise<void> => {
    const before = await stored();
    await isLight(server, what, () => swept(store, limits));
    assert.equal(before - (await stored()), count, what);
  };
  await removes("a sweep of nothing", 0, { unreadBefore: START * 2 });
  await removes("a sweep", 600, { endedBefore: due + 601 });
  await removes("a sweep by number", 600, { maxEnded: (await stored()) - 600 });
  if (!isCounted) return;
  // Of users that it has not counted, the planner expects so few tasks that it sorts them all.
  await removes("a shorter retention of a user", 40, { ofUsers: [{ user: "user 7", endedBefore: due + 3201 }] });
  await removes("a longer one", 49 * 20, { endedBefore: due + 2201, ofUsers: [{ user: "user 7", endedBefore: 0 }] });
}

test("no opening, list, task or step of a sweep reads more than a window of the stored tasks", { skip }, async (t) => {
  const { server, open, client } = await filled(t);
  const store = await openedLightly(t, server, open);
  await listsAreLight(server, store, 0);
  await sweepsAreLight(server, store, client, 0, false);
  await swept(store, { endedBefore: START + 10_001 });
  await client.query("ANALYZE");
  await listsAreLight(server, store, 10_000);
  await sweepsAreLight(server, store, client, 10_000, true);
  await store.close();
  const last = STORED - QUEUED;
  await client.query(`UPDATE tasks SET status = 'queued', finished_at = NULL WHERE seq > ${last}`);
  await (await openedLightly(t, server, open, QUEUED)).close();
  await client.query("ANALYZE");
  await (await openedLightly(t, server, open, QUEUED)).close();
});
