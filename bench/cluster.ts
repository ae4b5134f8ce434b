/** Several machines: how soon a dead one is noticed, what a second one brings, what tokens cost, and what a leader can carry. */
import { setTimeout as sleep } from "node:timers/promises";
import type { TaskView } from "../src/http/schemas/tasks.ts";
import type { Herd } from "./cluster/herd.ts";
import { failover } from "./cluster/failover.ts";
import { firstToken } from "./cluster/first-token.ts";
import { messages } from "./cluster/messages.ts";
import { submissions } from "./cluster/servers.ts";
import { ClusterWorld } from "./cluster/world.ts";
import { startChild } from "./child.ts";
import { cpuBetween, cpuTimeOf, ownCpuOf } from "./cpu-time.ts";
import { startReaders } from "./readers.ts";
import { type Extent, median, rounded, type Section } from "./report.ts";

const TOKENS_PER_SECOND = 100;
const SLOTS = 8;
const SPEED = `engine: { simulated: { tokens_per_second: ${TOKENS_PER_SECOND} } }`;
const ONE = { name: "one", config: SPEED };
/** Milliseconds in which a machine that is gone has to be noticed. */
const DETECTED = 3500;

export const CLUSTER = [agents, leader, detection, failover, submissions, firstToken, messages];

async function detection({ quick }: Extent): Promise<Section> {
  await using world = await ClusterWorld.start({}, ONE);
  const rows = [];
  for (const signal of ["SIGKILL", "SIGSTOP"] as const) {
    const found: number[] = [];
    for (let round = 0; round < (quick ? 2 : 5); round++) {
      await world.until("one", "ready", 2);
      world.agents.get("one")!.signal(signal);
      found.push(await world.until("one", "faulted", 2));
      if (signal === "SIGSTOP") world.agents.get("one")!.signal("SIGCONT");
      else await world.agent("one", SPEED);
    }
    rows.push({ signal, "median ms": Math.round(median(found)), "most ms": Math.round(Math.max(...found)) });
  }
  return {
    name: "cluster: detection",
    about:
      "An agent is killed, or frozen, and clients see its GPUs as faulted: by the connection that is closed, or by six signs of life that are missing.",
    rows,
    bars: rows.map((row) => ({
      what: `ms until ${row.signal} is noticed`,
      measured: row["most ms"],
      atMost: DETECTED,
    })),
  };
}

interface Turn {
  /** Tokens a second. */
  readonly rate: number;
  /** Milliseconds of processor time for 1,000 tokens. */
  readonly server: number;
  readonly agents: number;
  readonly nats: number;
}

async function agents({ quick }: Extent): Promise<Section> {
  await using world = await ClusterWorld.start({}, ONE);
  const seconds = quick ? 4 : 10;
  await world.until("one", "ready", 2);
  await turn(world, 2, false);
  const one = await turn(world, seconds, false);
  const read = await turn(world, seconds, true);
  await world.agent("two", SPEED);
  await world.until("two", "ready", 2);
  await turn(world, 2, false);
  const two = await turn(world, seconds, false);
  return {
    name: "cluster: agents",
    about: `Agents with 2 simulated GPUs of ${SLOTS} slots of ${TOKENS_PER_SECOND} tokens/s each, all slots busy for ${seconds} s; processor time for 1,000 tokens of the server, of the agents with their workers, and of the NATS server. Read: a client reads the event stream of every task.`,
    rows: [rowOf("one agent", one), rowOf("one agent, read", read), rowOf("two agents", two)],
    bars: [{ what: "tokens/s of two agents, as a ratio to one", measured: two.rate / one.rate, atLeast: 1.95 }],
  };
}

function rowOf(what: string, { rate, server, agents: machines, nats }: Turn) {
  return {
    what,
    "tokens/s": Math.round(rate),
    "server ms": rounded(server, 1),
    "agents ms": rounded(machines, 1),
    "NATS ms": rounded(nats, 1),
  };
}

/** All slots work for some seconds; the tasks are canceled at the end. */
async function turn(world: ClusterWorld, seconds: number, isRead: boolean): Promise<Turn> {
  const { server } = world;
  const slots = (await world.gpus()).length * SLOTS;
  const batch = Array.from({ length: slots }, (_, index) => ({ text: `task ${index}`, max_length: 30_000 }));
  const { tasks } = await server.ask<{ tasks: { task_id: string }[] }>("/api/v1/batch_predict", { batch });
  const ids = tasks.map(({ task_id }) => task_id);
  const readers = isRead ? await startReaders(server, ids) : null;
  const before = looked(world);
  const start = performance.now();
  await sleep(seconds * 1000);
  const after = looked(world);
  await server.ask("/api/v1/tasks/cancel", { status: "running" });
  const took = (performance.now() - start) / 1000;
  await readers?.stop();
  const ended = await Promise.all(ids.map((id) => server.ask<TaskView>(`/api/v1/task/${id}?wait=30`)));
  const tokens = ended.reduce((sum, { result }) => sum + (result?.usage.completion_tokens ?? 0), 0);
  const each = (of: keyof typeof after): number => ((after[of] - before[of]) / tokens) * 1e6;
  return { rate: tokens / took, server: each("server"), agents: each("agents"), nats: each("nats") };
}

/** Seconds of processor time so far. */
function looked({ server, agents: all, nats }: ClusterWorld) {
  const machines = [...all.values()].map(({ process: { pid } }) => cpuTimeOf(pid!));
  const sum = machines.reduce((total, cpu) => total + (cpu ? cpu.main + cpu.threads + cpu.workers : NaN), 0);
  return { server: ownCpuOf(server.pid), agents: sum, nats: ownCpuOf(nats.pid) };
}

const BATCH = 1000;

async function leader({ quick }: Extent): Promise<Section> {
  const herd: Omit<Herd, "url"> = quick ? { agents: 10, gpus: 10 } : { agents: 100, gpus: 10 };
  const depth = quick ? 50_000 : 1_000_000;
  const config = { gpu: { multi_gpu: { max_queue_size: 2 * depth, max_queue_bytes: 2 ** 33 } } };
  await using world = await ClusterWorld.start(config, { name: "first", config: SPEED });
  const { server } = world;
  await world.until("first", "ready", 2);
  const before = await server.memory();
  for (const gpu of [0, 1]) await server.ask(`/api/v1/gpus/${gpu}/drain`, {});
  const filled = await fill(world, depth);
  const after = await server.memory();
  const child = startChild<Herd>("cluster/herd.ts", process.env);
  try {
    await child.ask({ ...herd, url: world.nats.url });
    const ready = async () => (await world.gpus()).filter(({ status }) => status === "ready").length;
    while ((await ready()) < herd.agents * herd.gpus) await sleep(100);
    const start = {
      at: performance.now(),
      cpu: cpuTimeOf(server.pid),
      herd: ownCpuOf(child.pid),
      waits: await waiting(world),
    };
    await sleep(quick ? 4000 : 20_000);
    const seconds = (performance.now() - start.at) / 1000;
    const placed = start.waits - (await waiting(world));
    const cpu = cpuBetween(start.cpu, cpuTimeOf(server.pid));
    return {
      name: "cluster: leader",
      about: `${herd.agents} simulated agents in one process, with ${herd.agents * herd.gpus} GPUs that generate at no cost, and ${depth} queued tasks of one token: tasks that start and end each second, and processor time for each of them. The agents, on the same cores, take most of the rest.`,
      rows: [
        {
          GPUs: herd.agents * herd.gpus,
          queued: depth,
          "submitted/s": Math.round(depth / filled),
          "heap bytes a task": Math.round((after.heap - before.heap) / depth),
          "resident MiB": Math.round(after.resident / 2 ** 20),
          "placed/s": Math.round(placed / seconds),
          "leader's main µs": Math.round(((cpu?.main ?? NaN) / placed) * 1e6),
          "its threads µs": Math.round(((cpu?.threads ?? NaN) / placed) * 1e6),
          "agents µs": Math.round(((ownCpuOf(child.pid) - start.herd) / placed) * 1e6),
          "cores of the leader": rounded(((cpu?.main ?? NaN) + (cpu?.threads ?? NaN)) / seconds, 2),
        },
      ],
      bars: [],
    };
  } finally {
    await child.stop();
  }
}

/** @returns seconds */
async function fill({ server }: ClusterWorld, depth: number): Promise<number> {
  const start = performance.now();
  const body = { batch: Array.from({ length: BATCH }, () => ({ text: "Sample input text", max_length: 1 })) };
  const shares = Array.from({ length: 8 }, () =>
    (async () => {
      for (let sent = 0; sent < depth / BATCH / 8; sent++) await server.ask("/api/v1/batch_predict", body);
    })(),
  );
  await Promise.all(shares);
  return (performance.now() - start) / 1000;
}

async function waiting({ server }: ClusterWorld): Promise<number> {
  const { callers } = await server.ask<{ callers: { queued: number }[] }>("/api/v1/callers");
  return callers.reduce((sum, { queued }) => sum + queued, 0);
}
