/** Submissions to the server that leads, to one that stands by, and to all three at once. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { newApiKey } from "../../src/auth/secrets.ts";
import { AgentProcess } from "../../test/helpers/agent-process.ts";
import { NatsServer } from "../../test/helpers/nats.ts";
import { cpuBetween, cpuTimeOf } from "../cpu-time.ts";
import { startPostgres } from "../postgres.ts";
import { type Extent, median, rounded, type Section } from "../report.ts";
import { type BenchServer, startServer } from "../server.ts";
import { load, requestTo } from "../submit.ts";

const SERVERS = 3;
const CONNECTIONS = 48;
/** Seconds of one turn, and before the first one. */
const SECONDS = 2;
const WARM_UP = 6;
/** Milliseconds between two looks at what waits. */
const LOOK = 100;
const ROUNDS = { quick: 1, whole: 5 };
const FREE = "engine: { simulated: { tokens_per_second: 0 } }";
const TASK = { text: "Sample input text", max_length: 1 };
/** For what comes faster than it ends. */
const ROOM = { multi_gpu: { max_queue_size: 1_000_000 } };
/** The tasks that one request submits. */
const REQUESTS = [
  { tasks: 1, path: "/api/v1/predict", body: JSON.stringify(TASK) },
  {
    tasks: 100,
    path: "/api/v1/batch_predict",
    body: JSON.stringify({ batch: Array.from({ length: 100 }, () => TASK) }),
  },
] as const;

export async function submissions({ quick }: Extent): Promise<Section> {
  await using ends = new AsyncDisposableStack();
  const all = await startServers(ends);
  const [leader, standby] = [all.slice(0, 1), all.slice(1, 2)];
  const rows = [];
  for (const request of REQUESTS) {
    await turn(all, request, quick ? 1 : WARM_UP);
    while ((await waiting(all[0]!)) > 0) await sleep(LOOK);
    const ways = { "the one that leads": leader, "one that stands by": standby, "all three": all };
    const found = Object.entries(ways).map(([to, asked]) => ({ to, asked, turns: [] as Turn[] }));
    for (let round = 0; round < (quick ? ROUNDS.quick : ROUNDS.whole); round++)
      for (const { asked, turns } of found) {
        turns.push(await turn(asked, request, SECONDS, all));
        while ((await waiting(all[0]!)) > 0) await sleep(LOOK);
      }
    for (const { to, turns } of found) {
      const middle = (of: keyof Turn): number => median(turns.map((one) => one[of]));
      rows.push({
        "asked servers": to,
        "tasks a request": request.tasks,
        "tasks/s": Math.round(middle("rate")),
        "p50 ms": rounded(middle("p50"), 1),
        "leader µs": Math.round(middle("leader")),
        "standbys µs": Math.round(middle("others")),
      });
    }
  }
  return {
    name: "cluster: submissions",
    about: `Three servers on one PostgreSQL, one of which leads, and an agent with 4 simulated GPUs that generate at no cost. ${CONNECTIONS} connections submit to one of the servers, or to all three; all of them, PostgreSQL, NATS and the clients share the cores. µs: processor time of the servers' processes for each task.`,
    rows,
    bars: [],
  };
}

/** Tasks that have no GPU yet. */
async function waiting(server: BenchServer): Promise<number> {
  const { callers } = await server.ask<{ callers: { queued: number }[] }>("/api/v1/callers");
  return callers.reduce((sum, { queued }) => sum + queued, 0);
}

async function startServers(ends: AsyncDisposableStack): Promise<BenchServer[]> {
  const postgres = ends.use(await startPostgres());
  const owner = { after: (end: () => unknown) => ends.defer(async () => void (await end())) };
  const nats = await NatsServer.start(owner);
  const folder = mkdtempSync(join(tmpdir(), "alt-las-bench-agent-"));
  ends.defer(() => rmSync(folder, { recursive: true, force: true }));
  const agent = AgentProcess.start(
    owner,
    { join: nats.url, name: "one", config: FREE, devices: "simulated:4" },
    folder,
  );
  const config = { cluster: { nats: nats.url }, store: { url: postgres.server.url() }, gpu: ROOM };
  const key = newApiKey();
  const servers: BenchServer[] = [];
  for (let number = 0; number < SERVERS; number++)
    servers.push(ends.adopt(await startServer({ config, key }), (one) => one.stop()));
  await agent;
  return servers;
}

interface Turn {
  readonly rate: number;
  readonly p50: number;
  /** Microseconds of processor time for each task. */
  readonly leader: number;
  readonly others: number;
}

async function turn(
  asked: readonly BenchServer[],
  { tasks, path, body }: (typeof REQUESTS)[number],
  seconds: number,
  all = asked,
): Promise<Turn> {
  const before = all.map(({ pid }) => cpuTimeOf(pid));
  const connections = CONNECTIONS / asked.length;
  const results = await Promise.all(
    asked.map((server) => load({ ...server, connections, seconds, request: requestTo(server, path, body) })),
  );
  const failure = results.find(({ firstError }) => firstError !== "");
  if (failure !== undefined) throw new Error(`a submission failed: ${failure.firstError}`);
  const count = tasks * results.reduce((sum, { accepted }) => sum + accepted, 0);
  const each = all.map(({ pid }, index) => {
    const cpu = cpuBetween(before[index]!, cpuTimeOf(pid));
    return (((cpu?.main ?? NaN) + (cpu?.threads ?? NaN)) / count) * 1e6;
  });
  const [leader = NaN, ...others] = each;
  const p50 = median(results.map((one) => one.p50));
  const rate = tasks * results.reduce((sum, { accepted, seconds: took }) => sum + accepted / took, 0);
  return { rate, p50, leader, others: others.reduce((sum, one) => sum + one, 0) };
}
