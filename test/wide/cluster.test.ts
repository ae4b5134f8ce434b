/** A cluster of real processes: a server, agents, and the NATS server between them. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { type GpusAnswer } from "../../src/http/schemas/gpus.ts";
import { AgentProcess } from "../helpers/agent-process.ts";
import { NatsServer, NO_NATS } from "../helpers/nats.ts";
import { newFolder, type Owner, Server } from "../helpers/server.ts";

const skip = NO_NATS;
const SLOW = "engine: { simulated: { tokens_per_second: 20 } }";

let nats: NatsServer;
if (skip === false) before(async (t) => (nats = await NatsServer.start(t as unknown as Owner)));

function serve(t: Owner, folder?: string): Promise<Server> {
  return Server.start(t, { config: `cluster: { nats: '${nats.url}' }` }, folder);
}

async function gpus(server: Server): Promise<GpusAnswer["gpus"]> {
  return (await server.request<GpusAnswer>("GET", "/api/v1/gpus")).body.gpus;
}

/** Waits until so many GPUs are ready. */
async function ready(server: Server, count: number): Promise<void> {
  while ((await gpus(server)).filter(({ status }) => status === "ready").length < count)
    await new Promise((resolve) => void setTimeout(resolve, 50));
}

async function running(server: Server, id: string): Promise<void> {
  while ((await server.request<{ status: string }>("GET", `/api/v1/task/${id}`)).body.status !== "running")
    await new Promise((resolve) => void setTimeout(resolve, 50));
}

test("a server without GPUs serves with those of its machines, each with its machine's name", { skip }, async (t) => {
  const server = await serve(t);
  await AgentProcess.start(t, { join: nats.url, name: "one", devices: "simulated:2" });
  await AgentProcess.start(t, { join: nats.url, name: "two" });
  await ready(server, 3);
  const all = (await gpus(server)).map(({ id, machine }) => [id, machine]);
  assert.deepEqual(all.map(([id]) => id), [0, 1, 2]);
  assert.deepEqual(all.map(([, machine]) => machine).toSorted(), ["one", "one", "two"]);
  const items = Array.from({ length: 30 }, (_, index) => ({ text: `task ${index}`, max_length: 10 }));
  const { tasks } = await server.batch({ batch: items });
  const ended = await Promise.all(tasks.map(({ task_id }) => server.ended(task_id)));
  assert(ended.every(({ status }) => status === "completed"));
  assert(new Set(ended.map(({ gpu_id }) => gpu_id)).size > 1);
  // As large as a request may be: it travels in pieces.
  const long = await server.run({ text: "a".repeat(1_000_000), max_length: 1 });
  assert.equal(long.error?.code ?? long.status, long.status === "failed" ? long.error!.code : "completed");
});
