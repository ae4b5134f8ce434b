/** The server of a cluster dies, and another one goes on: real processes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AgentProcess } from "../helpers/agent-process.ts";
import { ready, running } from "../helpers/cluster-server.ts";
import { NatsServer, NO_NATS } from "../helpers/nats.ts";
import { NO_POSTGRES, PostgresServer, PROGRAMS } from "../helpers/postgres.ts";
import { Server } from "../helpers/server.ts";

const skip = NO_NATS;
const SLOW = "engine: { simulated: { tokens_per_second: 20 } }";

test(
  "a server that is killed, and one that is stopped, costs no attempt: the next one adopts what runs",
  { skip },
  async (t) => {
    const nats = await NatsServer.start(t);
    const first = await Server.start(t, { config: `cluster: { nats: '${nats.url}' }` });
    await AgentProcess.start(t, { join: nats.url, name: "one", devices: "simulated:2", config: SLOW });
    await ready(first, 2);
    const { tasks } = await first.batch({
      batch: Array.from({ length: 4 }, (_, index) => ({ text: `task ${index}`, max_length: index === 0 ? 5 : 240 })),
    });
    for (const { task_id } of tasks) await running(first, task_id);
    await first.kill9();
    const second = await first.restart();
    await ready(second, 2);
    for (const { task_id } of tasks.slice(1)) await running(second, task_id);
    await second.stop();
    const third = await second.restart();
    for (const [index, { task_id }] of tasks.entries()) {
      const task = await third.ended(task_id);
      assert.deepEqual([task.status, task.attempts.length], ["completed", 1]);
      const { text, usage } = task.result!;
      assert.equal(usage.completion_tokens, index === 0 ? 5 : 240);
      assert.equal(text.trim().split(" ").length, usage.completion_tokens);
    }
  },
);

const skipPostgres = skip !== false ? skip : PROGRAMS === null ? NO_POSTGRES : false;

test(
  "with its tasks on PostgreSQL, a server on another machine goes on where one has died",
  { skip: skipPostgres },
  async (t) => {
    const nats = await NatsServer.start(t);
    const postgres = await PostgresServer.start([], "trust");
    t.after(() => postgres.remove());
    const config = `cluster: { nats: '${nats.url}' }\nstore: { url: '${postgres.url()}' }`;
    // Users and keys are in the configuration of both, as an operator of several servers has them.
    const env = { ALT_LAS_API_KEY: "altlas_0123456789012345678901234567890123456789abc" };
    const first = await Server.start(t, { config, env });
    await AgentProcess.start(t, { join: nats.url, name: "one", config: SLOW });
    await ready(first, 1);
    const { task_id } = await first.predict({ text: "hello", max_length: 160 });
    await running(first, task_id);
    await first.kill9();
    const second = await Server.start(t, { config, env });
    const task = await second.ended(task_id);
    assert.deepEqual([task.status, task.attempts.length, task.result!.usage.completion_tokens], ["completed", 1, 160]);
  },
);
