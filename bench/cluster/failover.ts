/** How long no server answers when the one that leads is killed, or frozen: two servers, PostgreSQL, NATS and an agent. */
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import type { TaskView } from "../../src/http/schemas/tasks.ts";
import { AgentProcess } from "../../test/helpers/agent-process.ts";
import { ready, running } from "../../test/helpers/cluster-server.ts";
import { NatsServer } from "../../test/helpers/nats.ts";
import { fillOf } from "../../test/helpers/many-stored.ts";
import type { PostgresServer } from "../../test/helpers/postgres.ts";
import { Server } from "../../test/helpers/server.ts";
import { startPostgres } from "../postgres.ts";
import { type Extent, rounded, type Section } from "../report.ts";
import { startServer } from "../server.ts";

/** Seconds in which another server has to answer. */
const MOST = 5;
const TASKS = 8;
/** Ended tasks in the database, after those rounds without any. */
const STORED = 1_000_000;
const SLOW = "engine: { simulated: { tokens_per_second: 20 } }";
const env = { ALT_LAS_API_KEY: "altlas_0123456789012345678901234567890123456789abc" };

export async function failover({ quick }: Extent): Promise<Section> {
  const rows = await rowsOf(0, quick);
  if (!quick) rows.push(...(await rowsOf(STORED, quick)));
  return {
    name: "cluster: failover",
    about: `Two servers with PostgreSQL, NATS and an agent that runs ${TASKS} tasks. The server that leads is killed or frozen, and the other one is asked for a running task until it answers. The tasks end with the attempts that they had.`,
    rows,
    bars: rows.flatMap((row) => {
      const how = `after ${row.signal}, with ${row["ended tasks"].toLocaleString("en")} ended tasks`;
      return [
        { what: `s without an answer ${how}`, measured: row["most s without an answer"], atMost: MOST },
        { what: `attempts of a task ${how}`, measured: row["most attempts of a task"], atMost: 1 },
      ];
    }),
  };
}

/** @param stored ended tasks in the database */
async function rowsOf(stored: number, quick: boolean) {
  await using postgresql = await startPostgres();
  const { server: postgres } = postgresql;
  if (stored > 0) await fill(postgres, stored);
  const rows = [];
  for (const signal of ["SIGKILL", "SIGSTOP"] as const) {
    const found: { readonly seconds: number; readonly attempts: number }[] = [];
    for (let round = 0; round < (quick ? 1 : 3); round++) found.push(await fail(postgres, signal));
    const seconds = found.map((one) => one.seconds);
    rows.push({
      "ended tasks": stored,
      signal,
      rounds: found.length,
      "most s without an answer": rounded(Math.max(...seconds), 2),
      "least s": rounded(Math.min(...seconds), 2),
      "most attempts of a task": Math.max(...found.map(({ attempts }) => attempts)),
    });
  }
  return rows;
}

/** A server makes the tables. */
async function fill(postgres: PostgresServer, count: number): Promise<void> {
  const server = await startServer({ config: { store: { url: postgres.url() } }, devices: "simulated:1" });
  await server.stop();
  const client = new Client({ connectionString: postgres.url() });
  await client.connect();
  await client.query(`SET search_path = alt_las; SET synchronous_commit = off; ${fillOf(count, Date.now() - count)}`);
  await client.query("VACUUM ANALYZE");
  await client.end();
}

async function fail(
  postgres: PostgresServer,
  signal: "SIGKILL" | "SIGSTOP",
): Promise<{ readonly seconds: number; readonly attempts: number }> {
  await using ends = new AsyncDisposableStack();
  const owner = { after: (end: () => unknown) => ends.defer(async () => void (await end())) };
  const nats = await NatsServer.start(owner);
  const config = `cluster: { nats: '${nats.url}' }\nstore: { url: '${postgres.url()}' }`;
  const first = await Server.start(owner, { config, env });
  const second = await Server.start(owner, { config, env });
  await AgentProcess.start(owner, { join: nats.url, name: "one", config: SLOW });
  await ready(first, 1);
  const batch = Array.from({ length: TASKS }, (_, index) => ({ text: `task ${index}`, max_length: 200 }));
  const { tasks } = await first.batch({ batch });
  for (const { task_id } of tasks) await running(first, task_id);
  const start = performance.now();
  first.signal(signal);
  const path = `/api/v1/task/${tasks[0]!.task_id}`;
  // One that hangs at the frozen server is no answer.
  while (!(await isAnswered(second, path))) await sleep(20);
  const seconds = (performance.now() - start) / 1000;
  const ended = await Promise.all(tasks.map(({ task_id }) => second.ended(task_id)));
  if (signal === "SIGSTOP") first.signal("SIGCONT");
  return { seconds, attempts: Math.max(...ended.map((task: TaskView) => task.attempts.length)) };
}

async function isAnswered(server: Server, path: string): Promise<boolean> {
  const answer = server.request("GET", path).then(({ status }) => status === 200);
  return Promise.race([answer.catch(() => false), sleep(250).then(() => false)]);
}
