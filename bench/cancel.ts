/** How long it takes to cancel a running task, and to give its slot to the next one. */
import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { type Extent, percentile, rounded, type Section } from "./report.ts";
import { type BenchServer, startServer } from "./server.ts";

const SLOTS = 8;
const PROMPT = "Once upon a time there was a little dog";
/** Milliseconds from the start of the tasks to the cancellation: any moment of a step, and long before a text ends by itself. */
const PAUSE = { least: 5, most: 25 };
const WARM_UP = 20;

interface Engine {
  readonly name: string;
  readonly devices: string;
  readonly engine: object;
  readonly samples: number;
}

/** Milliseconds from sending the request. */
interface Sample {
  readonly answered: number;
  /** The task that waited has the slot, that is on disk, and its reader has been told. */
  readonly placed: number;
}

export async function cancel({ quick, profile }: Extent): Promise<Section> {
  const engines: Engine[] = [
    {
      name: "simulated, 100 tokens/s",
      devices: "simulated:1",
      engine: { simulated: { tokens_per_second: 100 } },
      samples: quick ? 100 : 500,
    },
    { name: "llama, demo model", devices: "cpu:1", engine: { threads: 1 }, samples: quick ? 30 : 100 },
  ];
  const rows = [];
  for (const engine of engines) rows.push(await measure(engine, profile));
  return {
    name: "life: cancel",
    about:
      `POST /api/v1/task/<id>/cancel of one of ${SLOTS} tasks that generate on a GPU of ${SLOTS} slots, while one more waits there. ` +
      "From sending the request. Answered: the task has left the GPU, and that is on disk. Slot free: the task that waited has the slot, " +
      'that is on disk, and the event "placed" has reached the reader of its events. The other tasks generate meanwhile. ' +
      "Void: another task ended by itself, so the sample says nothing.",
    rows,
    bars: [],
  };
}

async function measure({ name, devices, engine, samples: wanted }: Engine, profile: boolean) {
  const config = { engine, gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: SLOTS } }, server: { drain_timeout: 0 } };
  const server = await startServer({ devices, config, profile });
  const client = clientOf(server);
  const samples: Sample[] = [];
  let voids = 0;
  try {
    for (let i = 0; i < WARM_UP; i++) await sample(server, client);
    while (samples.length < wanted) {
      const taken = await sample(server, client);
      if (taken === null) voids++;
      else samples.push(taken);
    }
  } finally {
    client.close();
    await server.stop();
  }
  const columns = (what: string, of: (sample: Sample) => number) => {
    const values = samples.map(of);
    return {
      [`${what} p50 ms`]: rounded(percentile(values, 0.5), 1),
      [`${what} p99 ms`]: rounded(percentile(values, 0.99), 1),
    };
  };
  return {
    engine: name,
    ...columns("answered", ({ answered }) => answered),
    ...columns("slot free", ({ placed }) => placed),
    cancels: samples.length,
    void: voids,
  };
}

/** Fills the GPU and cancels one task; null: another one ended by itself. */
async function sample(server: BenchServer, client: Client): Promise<Sample | null> {
  const item = { text: PROMPT, max_length: 100_000 };
  const body = { batch: Array.from({ length: SLOTS + 1 }, () => item) };
  const { tasks } = await server.ask<{ tasks: Submitted[] }>("/api/v1/batch_predict", body);
  const running = tasks.filter(({ status }) => status === "running").map((task) => task.task_id);
  const waiting = tasks.find(({ status }) => status === "queued")!.task_id;
  const { placed } = await client.follow(waiting);
  await sleep(PAUSE.least + Math.random() * (PAUSE.most - PAUSE.least));
  const victim = running[Math.floor(Math.random() * running.length)]!;
  const sent = performance.now();
  const [answeredAt, placedAt] = await Promise.all([client.cancel(victim), placed]);
  const others = [...running, waiting].filter((id) => id !== victim);
  const { canceled } = await server.ask<{ canceled: number }>("/api/v1/tasks/cancel", { task_ids: others });
  if (answeredAt === null || canceled < others.length) return null;
  return { answered: answeredAt - sent, placed: placedAt - sent };
}

interface Submitted {
  readonly task_id: string;
  readonly status: string;
}

/** Less in the way of what it measures than `fetch` is. */
interface Client {
  /** Resolves with the time of the answer, in milliseconds of `performance.now()`; null: the task had ended. */
  cancel(id: string): Promise<number | null>;
  /** Reads a task's events; resolves when the stream is open. `placed`: the time of the first event of that name. */
  follow(id: string): Promise<{ readonly placed: Promise<number> }>;
  close(): void;
}

function clientOf({ host, port, authorization }: BenchServer): Client {
  const agent = new Agent({ keepAlive: true });
  const ask = async (method: string, path: string): Promise<IncomingMessage> => {
    const sent = request({ agent, host, port, method, path, headers: { authorization } }).end();
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    return answer;
  };
  return {
    async cancel(id) {
      const { statusCode } = (await ask("POST", `/api/v1/task/${id}/cancel`)).resume();
      if (statusCode === 200) return performance.now();
      if (statusCode === 409) return null;
      throw new Error(`a cancellation was answered with ${statusCode}`);
    },
    async follow(id) {
      const answer = await ask("GET", `/api/v1/task/${id}/events`);
      return { placed: eventIn(answer, "placed") };
    },
    close: () => agent.destroy(),
  };
}

function eventIn(stream: IncomingMessage, name: string): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = "";
    stream.setEncoding("utf8").on("data", (piece: string) => {
      text += piece;
      if (text.includes(`event: ${name}\n`)) resolve(performance.now());
    });
    stream.once("close", () => reject(new Error(`the stream ended without the event ${name}`)));
  });
}
