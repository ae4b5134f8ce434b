/** Durable submissions: tasks that are on disk before the answer, against the queues that others would build on. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Child, startChild } from "../child.ts";
import { type Extent, median, type Row, type Section } from "../report.ts";
import { startServer } from "../server.ts";
import { load, requestTo } from "../submit.ts";
import { fromDebian, fromNpm, postgresFromDebian, reasonOf } from "./cupboard.ts";
import { type Database, startPostgres, startRedis } from "./databases.ts";
import { type Part } from "./queue-app.ts";
import { treeCpu, treeMemory } from "./running.ts";
import { HOST, OURS, type Provided, spread } from "./shelf.ts";

const BULLMQ = "6.7.0";
const IOREDIS = "5.11.1";
const PG_BOSS = "12.38.0";
const CONNECTIONS = 64;
const PLANS = { quick: { seconds: 0.5, warmUp: 1, rounds: 2 }, whole: { seconds: 2, warmUp: 6, rounds: 6 } };
/** Milliseconds between two looks at whether all tasks have ended. */
const LOOK = 50;

interface Contender {
  readonly name: string;
  /** Processes that all of it consists of. */
  readonly pids: readonly number[];
  /** Whether their processor time is all of it: PostgreSQL's helpers come and go. */
  readonly tellsCpu: boolean;
  readonly host: string;
  readonly port: number;
  readonly request: string;
  /** Tasks that have ended since its start. */
  ended(): Promise<number>;
}

interface Round {
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
  /** Seconds after the last answer until all tasks had ended. */
  readonly drained: number;
  /** Microseconds of processor time a task. */
  readonly cpu: number;
}

/** @param missing is told of who cannot be had, or does not start; and of the others' versions */
export async function durableSection(
  { quick }: Pick<Extent, "quick">,
  missing: (one: Provided) => void,
): Promise<Section> {
  const plan = quick ? PLANS.quick : PLANS.whole;
  await using started = new AsyncDisposableStack();
  const contenders: Contender[] = [];
  for (const [name, open] of [
    ["BullMQ", openBull],
    ["pg-boss", openBoss],
  ] as const) {
    try {
      const { version, ...contender } = await open(started);
      contenders.push(contender);
      missing({ name, version, missing: null });
    } catch (error) {
      missing({ name, version: "–", missing: reasonOf(error) });
    }
  }
  contenders.push(await openOurs(started));
  const found = new Map<string, Round[]>(contenders.map(({ name }) => [name, []]));
  for (const contender of contenders) await measure(contender, plan.warmUp);
  for (let round = 0; round < plan.rounds; round++) {
    const first = round % contenders.length;
    for (const contender of [...contenders.slice(first), ...contenders.slice(0, first)])
      found.get(contender.name)!.push(await measure(contender, plan.seconds));
  }
  return {
    name: "peers: durable submissions",
    about:
      `POST of a task at ${CONNECTIONS} connections, answered when it is on disk, for ${plan.seconds} s; then the end of all of them is awaited; ${plan.rounds} rounds, by turns, medians with least and ` +
      `most. BullMQ on Redis with appendfsync always, pg-boss on PostgreSQL with fsync: each with the smallest Fastify front with a schema and one worker process that does nothing. ${OURS}: ` +
      "simulated:4 at no cost, with its check of the key. CPU: microseconds of processor time a task, of all processes.",
    rows: contenders.map((one) => rowOf(one, found.get(one.name)!)),
    bars: [],
  };
}

async function measure(contender: Contender, seconds: number): Promise<Round> {
  const cpuOf = (): number => contender.pids.reduce((sum, pid) => sum + treeCpu(pid), 0);
  const before = { ended: await contender.ended(), cpu: cpuOf() };
  const { host, port, request } = contender;
  const { accepted, firstError, p50, p99, ...took } = await load({
    host,
    port,
    connections: CONNECTIONS,
    seconds,
    request,
  });
  if (firstError !== "") throw new Error(`${contender.name}: a submission failed: ${firstError}`);
  const answered = performance.now();
  while ((await contender.ended()) < before.ended + accepted) await sleep(LOOK);
  const drained = (performance.now() - answered) / 1000;
  return { rate: accepted / took.seconds, p50, p99, drained, cpu: ((cpuOf() - before.cpu) / accepted) * 1e6 };
}

function rowOf({ name, pids, tellsCpu }: Contender, rounds: readonly Round[]): Row {
  const cell = (of: (round: Round) => number, digits: number): string => {
    const values = rounds.map(of);
    return spread(values, median(values), digits);
  };
  return {
    queue: name,
    "accepted/s": cell(({ rate }) => rate, 0),
    "p50 ms": cell(({ p50 }) => p50, 1),
    "p99 ms": cell(({ p99 }) => p99, 1),
    "all ended after s": cell(({ drained }) => drained, 2),
    "CPU µs": tellsCpu ? cell(({ cpu }) => cpu, 0) : "–",
    MiB: Math.round(pids.reduce((sum, pid) => sum + treeMemory(pid), 0) / 2 ** 20),
  };
}

async function openOurs(started: AsyncDisposableStack): Promise<Contender> {
  const config = { engine: { simulated: { tokens_per_second: 0 } } };
  const server = started.adopt(await startServer({ devices: "simulated:4", config }), (running) => running.stop());
  const { pid, host, port } = server;
  return {
    name: OURS,
    pids: [pid],
    tellsCpu: true,
    host,
    port,
    request: requestTo(server),
    ended: async () => (await server.ask<{ total: number }>("/api/v1/tasks?status=completed&limit=1")).total,
  };
}

type Opened = Contender & { readonly version: string };

async function openBull(started: AsyncDisposableStack): Promise<Opened> {
  const packages = await fromNpm("bullmq", [`bullmq@${BULLMQ}`, `ioredis@${IOREDIS}`]);
  const program = await fromDebian("redis-server", "redis-server", /v=(\S+)/);
  const redis = started.adopt(await startRedis(program), (running) => running.stop());
  const app = await openApp(started, { queue: "BullMQ", packages, socket: redis.socket });
  return contenderOf("BullMQ", `${BULLMQ}, Redis ${program.version}`, { redis, app, tellsCpu: true });
}

async function openBoss(started: AsyncDisposableStack): Promise<Opened> {
  const packages = await fromNpm("pg-boss", [`pg-boss@${PG_BOSS}`]);
  const program = await postgresFromDebian();
  const database = started.adopt(await startPostgres(program), (running) => running.stop());
  const app = await openApp(started, { queue: "pg-boss", packages, socket: database.socket });
  const version = `${PG_BOSS}, PostgreSQL ${program.version}`;
  return contenderOf("pg-boss", version, { redis: database, app, tellsCpu: false });
}

interface App {
  readonly port: number;
  readonly front: Child<Part>;
  readonly worker: Child<Part>;
}

async function openApp(started: AsyncDisposableStack, parts: Omit<Part, "role">): Promise<App> {
  const open = (): Child<Part> =>
    started.adopt(startChild<Part>("peers/queue-app.ts", process.env), (child) => child.stop());
  // One after the other: both make the queue where it is not there.
  const front = open();
  const port = await front.ask<number>({ role: "front", ...parts });
  const worker = open();
  await worker.ask({ role: "worker", ...parts });
  return { port, front, worker };
}

function contenderOf(
  name: Part["queue"],
  version: string,
  { redis, app, tellsCpu }: { redis: Database; app: App; tellsCpu: boolean },
): Opened {
  const { port, front, worker } = app;
  const address = { host: HOST, port, authorization: "none" };
  return {
    name,
    version,
    tellsCpu,
    host: HOST,
    port,
    pids: [redis.pid, front.pid, worker.pid],
    request: requestTo(address, "/tasks"),
    // Any message asks for it.
    ended: () => worker.ask<number>({ role: "worker", queue: name, packages: "", socket: "" }),
  };
}
