/** Tasks on PostgreSQL beside tasks in SQLite's file, by turns, and lists of a million of them. Both wait for the same disk. */
import { chownSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { PostgresStore } from "../src/store/postgres/postgres.ts";
import type { TaskFilter } from "../src/store/tasks.ts";
import { fillOf } from "../test/helpers/many-stored.ts";
import { postgresOwner, PostgresServer } from "../test/helpers/postgres.ts";
import { childrenOf } from "../test/helpers/processes.ts";
import { cpuBetween, cpuTimeOf, ownCpuOf } from "./cpu-time.ts";
import { type Centre, centreOf, type Extent, median, type Row, rounded, type Section } from "./report.ts";
import { type BenchServer, CACHE, startServer } from "./server.ts";
import { load, requestTo } from "./submit.ts";

const CONNECTIONS = [1, 16, 64];
/** Seconds of one turn, and before the first one. */
const SECONDS = 1;
const WARM_UP = 8;
const PAIRS = { quick: 5, whole: 20 };
/** What PostgreSQL is to take of the submissions a second that SQLite takes. */
const LEAST = 0.6;

/** A PostgreSQL with Debian's settings, on the disk of the checkout. */
export async function startPostgres(): Promise<AsyncDisposable & { readonly server: PostgresServer }> {
  mkdirSync(CACHE, { recursive: true });
  const folder = mkdtempSync(join(CACHE, "postgres-"));
  const owner = postgresOwner();
  if (owner !== undefined) chownSync(folder, owner.uid, owner.gid);
  const server = await PostgresServer.start([], "trust", folder);
  return {
    server,
    [Symbol.asyncDispose]: async () => {
      await server.stop("SIGINT");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Microseconds of processor time for each task: of the server's main thread, its other threads, and PostgreSQL. */
interface Turn {
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
  readonly main: number;
  readonly threads: number;
  readonly database: number;
}

export async function postgres({ quick, profile, connections: counts = CONNECTIONS, pairs }: Extent): Promise<Section> {
  await using postgresql = await startPostgres();
  const { server } = postgresql;
  await using servers = new AsyncDisposableStack();
  const start = async (store: object, profiled: boolean): Promise<BenchServer> => {
    const config = { engine: { simulated: { tokens_per_second: 0 } }, store };
    return servers.adopt(await startServer({ devices: "simulated:4", config, profile: profiled }), (one) => one.stop());
  };
  const sides = [await start({}, false), await start({ url: server.url() }, profile)] as const;
  for (const side of sides) await turn(side, server, 64, quick ? 3 : WARM_UP);
  const rows: Row[] = [];
  const ratios: { readonly connections: number; readonly ratio: Centre }[] = [];
  for (const connections of counts) {
    const found: [Turn, Turn][] = [];
    for (let pair = 0; pair < (pairs ?? (quick ? PAIRS.quick : PAIRS.whole)); pair++)
      found.push(await turnsOf(sides, server, connections, pair % 2 === 0));
    const ratio = centreOf(found.map(([file, database]) => database.rate / file.rate));
    ratios.push({ connections, ratio });
    for (const [index, name] of ["SQLite", "PostgreSQL"].entries())
      rows.push(
        rowOf(
          name,
          connections,
          found.map((both) => both[index]!),
          index === 1 ? ratio : null,
        ),
      );
  }
  return {
    name: "postgres",
    about:
      `POST /api/v1/predict with a bearer key to 4 simulated devices that generate at no cost, in turns of ${SECONDS} s: a server with ` +
      "SQLite's file, and one with a PostgreSQL of its own, as Debian sets it up, on the same disk. Both wait for the disk. µs: processor " +
      "time for each task. Ratios are of the same pair of turns; ± is the interval of 95 %.",
    rows,
    bars: ratios.map(({ connections, ratio: { value, margin } }) => ({
      what: `submissions a second at ${connections} connections, as a ratio to SQLite`,
      measured: value,
      margin,
      atLeast: LEAST,
    })),
  };
}

async function turnsOf(
  [file, database]: readonly [BenchServer, BenchServer],
  server: PostgresServer,
  connections: number,
  fileFirst: boolean,
): Promise<[Turn, Turn]> {
  const first = await turn(fileFirst ? file : database, server, connections);
  const second = await turn(fileFirst ? database : file, server, connections);
  return fileFirst ? [first, second] : [second, first];
}

async function turn(side: BenchServer, server: PostgresServer, connections: number, seconds = SECONDS): Promise<Turn> {
  const before = { server: cpuTimeOf(side.pid), database: cpuOfAll(server) };
  const result = await load({ ...side, connections, seconds, request: requestTo(side) });
  const { accepted, firstError, p50, p99 } = result;
  if (firstError !== "") throw new Error(`a submission failed: ${firstError}`);
  const cpu = cpuBetween(before.server, cpuTimeOf(side.pid));
  const each = (seconds_: number | undefined): number => ((seconds_ ?? NaN) / accepted) * 1e6;
  const database = each(cpuOfAll(server) - before.database);
  return { rate: accepted / result.seconds, p50, p99, main: each(cpu?.main), threads: each(cpu?.threads), database };
}

/** Of PostgreSQL's processes. */
function cpuOfAll({ pid }: PostgresServer): number {
  return [pid, ...childrenOf(pid).map((child) => child.pid)].reduce((sum, one) => {
    const cpu = ownCpuOf(one);
    return sum + (Number.isNaN(cpu) ? 0 : cpu);
  }, 0);
}

function rowOf(store: string, connections: number, turns: readonly Turn[], ratio: Centre | null): Row {
  const middle = (of: keyof Turn, digits = 0): number => rounded(median(turns.map((one) => one[of])), digits);
  return {
    store,
    connections,
    "tasks/s": middle("rate"),
    "p50 ms": middle("p50", 1),
    "p99 ms": middle("p99", 1),
    "main µs": middle("main"),
    "threads µs": middle("threads"),
    "PostgreSQL µs": middle("database"),
    ratio: ratio === null ? "" : `${ratio.value.toFixed(3)} ± ${ratio.margin.toFixed(3)}`,
  };
}

// --- lists -------------------------------------------------------------------------------------------------------

const FEW = 10_000;
const MANY = 1_000_000;
/** Times that each list is read. */
const READS = 15;
/** How much longer a list of many may take. */
const LONGER = 3;
const EVERYTHING: TaskFilter = { user: undefined, status: undefined, limit: 50, offset: 0 };
/** As pages that go on from the one before are read. */
const READING = { maxCharacters: 1e6, counted: false };
const LISTS: readonly (readonly [name: string, filter: (count: number) => Partial<TaskFilter>])[] = [
  ["the newest", () => ({})],
  ["of a user", () => ({ user: "user 7" })],
  ["of a team", () => ({ team: "team 3" })],
  ["failed", () => ({ status: "failed" })],
  ["completed of a user", () => ({ user: "user 7", status: "completed" })],
  ["a status of a team", () => ({ team: "team 3", status: "failed" })],
  ["from the middle", (count) => ({ after: count / 2 })],
  ["of a user from the middle", (count) => ({ user: "user 7", after: count / 2 })],
  ["of a team from the middle", (count) => ({ team: "team 3", after: count / 2 })],
  ["of a team behind 1,000 others", () => ({ team: "team 3", offset: 1000 })],
  ["of a GPU", () => ({ gpuId: 3 })],
];

export async function postgresLists({ quick }: Extent): Promise<Section> {
  await using postgresql = await startPostgres();
  const { server } = postgresql;
  const many = quick ? MANY / 5 : MANY;
  const [few, all] = [await timesWith(server, FEW), await timesWith(server, many)];
  const rows = [...all].map(([list, ms]) => ({
    list,
    [`ms, ${FEW.toLocaleString("en")} stored`]: rounded(few.get(list)!, 1),
    [`ms, ${many.toLocaleString("en")} stored`]: rounded(ms, 1),
  }));
  const worst = Math.max(...LISTS.map(([list]) => all.get(list)! / few.get(list)!));
  return {
    name: "postgres lists",
    about:
      `Pages of ${EVERYTHING.limit} tasks from a store on PostgreSQL, medians of ${READS}; what its opening takes; and its first ` +
      "total, for which it counts all tasks once.",
    rows,
    bars: [{ what: "the list that slows down most, as a ratio", measured: worst, atMost: LONGER }],
  };
}

/** Milliseconds of each list in a schema with so many tasks. */
async function timesWith(server: PostgresServer, count: number): Promise<Map<string, number>> {
  const schema = `with_${count}`;
  const dataDir = mkdtempSync(join(CACHE, "run-"));
  const open = async (): Promise<PostgresStore> => {
    const store = new PostgresStore({ url: server.url(), schema, dataDir });
    await store.open();
    return store;
  };
  await (await open()).close();
  const client = new Client({ connectionString: server.url() });
  await client.connect();
  await client.query(`SET search_path = ${schema}; SET synchronous_commit = off; ${fillOf(count)}`);
  await client.query("VACUUM ANALYZE");
  await client.end();
  const times = new Map<string, number>();
  const started = performance.now();
  const store = await open();
  const ready = performance.now();
  times.set("(opening)", ready - started);
  await store.tasks.list({ ...EVERYTHING, limit: 0 });
  times.set("(first total)", performance.now() - ready);
  for (const [name, filter] of LISTS) {
    const took: number[] = [];
    for (let read = 0; read < READS; read++) {
      const begun = performance.now();
      const { tasks } = await store.tasks.list({ ...EVERYTHING, ...filter(count) }, READING);
      took.push(performance.now() - begun);
      if (tasks.length !== EVERYTHING.limit) throw new Error(`${name}: ${tasks.length} tasks`);
    }
    times.set(name, median(took));
  }
  await store.close();
  rmSync(dataDir, { recursive: true, force: true });
  return times;
}

export const POSTGRES = [postgres, postgresLists];
