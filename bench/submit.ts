/** Submissions a second: how many tasks the server takes, stores durably and completes, when generating costs nothing. */
import { fork } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type CpuTime, cpuBetween, cpuTimeOf } from "./cpu-time.ts";
import { type LoadRequest, type LoadResult } from "./load.ts";
import { type Extent, median, type Section } from "./report.ts";
import { type BenchServer, startServer } from "./server.ts";

const DEVICES = 4;
const CONNECTIONS = [16, 64, 256];
const BARRED = 64;
/** Milliseconds after the last submission at which the completed tasks are counted. */
const SETTLE = 2000;
/** The document's own example. */
const BODY = JSON.stringify({
  text: "Sample input text",
  max_length: 128,
  temperature: 0.7,
  gpu_options: { strategy: "least_loaded", specific_gpu_id: null, batch_split: true },
});

interface Round extends LoadResult {
  readonly connections: number;
  /** Completed `SETTLE` after the last submission, of those accepted; 0 to 1. */
  readonly completed: number;
  /** Of the server, from the first request until all was counted; null: not known on this system. */
  readonly cpu: CpuTime | null;
}

export async function submit({ quick, profile }: Extent): Promise<Section> {
  const rounds: Round[] = [];
  const server = await startServer({
    devices: `simulated:${DEVICES}`,
    config: { engine: { simulated: { tokens_per_second: 0 } } },
    profile,
  });
  try {
    await measure(server, BARRED, quick ? 1 : 4);
    for (let round = 0; round < (quick ? 1 : 3); round++) {
      for (const connections of CONNECTIONS) rounds.push(await measure(server, connections, quick ? 1 : 6));
    }
  } finally {
    await server.stop();
  }
  const rows = CONNECTIONS.map((connections) => rowOf(connections, rounds));
  const barred = rows.find(({ connections }) => connections === BARRED)!;
  return {
    name: "submit",
    about:
      `POST /api/v1/predict (the document's example, 128 tokens) with a bearer key to ${DEVICES} simulated devices that generate at ` +
      `no cost; each task is on disk before its answer, and its result after it. Medians of ${rounds.length / CONNECTIONS.length} ` +
      "rounds; the load generator runs on the same cores. µs: processor time for each task. Completed: after 2 s without submissions.",
    rows,
    bars: [
      { what: `tasks/s at ${BARRED} connections`, measured: barred["tasks/s"], atLeast: 10_000 },
      { what: `p99 at ${BARRED} connections, ms`, measured: barred["p99 ms"], atMost: 25 },
      { what: "errors", measured: rows.reduce((sum, row) => sum + row.errors, 0), atMost: 0 },
      {
        what: "lowest share completed after 2 s",
        measured: Math.min(...rounds.map((round) => round.completed)),
        atLeast: 0.95,
      },
    ],
  };
}

function rowOf(connections: number, all: readonly Round[]) {
  const rounds = all.filter((round) => round.connections === connections);
  const middle = (of: (round: Round) => number): number => median(rounds.map(of));
  return {
    connections,
    "tasks/s": Math.round(middle(({ accepted, seconds }) => accepted / seconds)),
    "p50 ms": tenths(middle(({ p50 }) => p50)),
    "p99 ms": tenths(middle(({ p99 }) => p99)),
    "longest ms": tenths(Math.max(...rounds.map(({ longest }) => longest))),
    errors: rounds.reduce((sum, { errors }) => sum + errors, 0),
    ...cpuColumns(rounds),
    completed: `${tenths(100 * Math.min(...rounds.map(({ completed }) => completed)))} %`,
  };
}

/** Microseconds of processor time for each task: unlike tasks/s, hardly changed by what else the machine does. */
function cpuColumns(rounds: readonly Round[]): Record<string, number> {
  const perTask = (of: (round: Round) => number): number =>
    Math.round(median(rounds.map((round) => (of(round) / round.accepted) * 1e6)));
  const client = perTask(({ cpuSeconds }) => cpuSeconds);
  if (rounds.some(({ cpu }) => cpu === null)) return { "client µs": client };
  return {
    "main µs": perTask(({ cpu }) => cpu!.main),
    "threads µs": perTask(({ cpu }) => cpu!.threads),
    "workers µs": perTask(({ cpu }) => cpu!.workers),
    "client µs": client,
  };
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}

async function measure(server: BenchServer, connections: number, seconds: number): Promise<Round> {
  const before = await countCompleted(server);
  const cpuBefore = cpuTimeOf(server.pid);
  const result = await load({ ...server, connections, seconds, request: requestTo(server) });
  await sleep(SETTLE);
  const share = ((await countCompleted(server)) - before) / result.accepted;
  const cpu = cpuBetween(cpuBefore, cpuTimeOf(server.pid));
  if (result.firstError !== "") console.error(`first error: ${result.firstError}`);
  if (share < 1) await untilAllCompleted(server, before + result.accepted);
  return { ...result, connections, completed: share, cpu };
}

/** Lets no round begin with the work of the one before. */
async function untilAllCompleted(server: BenchServer, count: number): Promise<void> {
  while ((await countCompleted(server)) < count) await sleep(100);
}

async function countCompleted(server: BenchServer): Promise<number> {
  const { total } = await server.ask<{ total: number }>("/api/v1/tasks?status=completed&limit=1");
  return total;
}

/** A POST as it goes over the wire; without a path, the document's example is submitted. */
export function requestTo(
  { host, port, authorization }: Pick<BenchServer, "host" | "port" | "authorization">,
  path = "/api/v1/predict",
  body = BODY,
): string {
  const head = [
    `POST ${path} HTTP/1.1`,
    `Host: ${host}:${port}`,
    `Authorization: ${authorization}`,
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  return `${head.join("\r\n")}\r\n\r\n${body}`;
}

export function load({ host, port, connections, seconds, request, token }: LoadRequest): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const child = fork(join(import.meta.dirname, "load.ts"));
    child.once("message", (result) => resolve(result as LoadResult));
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the load generator ended with exit code ${code}`)));
    child.send({ host, port, connections, seconds, request, token });
  });
}
