/** What more devices bring, and what streaming costs, when generating costs nothing: everything but inference. */
import { setTimeout as sleep } from "node:timers/promises";
import { type TasksAnswer, type TaskView } from "../src/http/schemas/tasks.ts";
import { type CpuTime, cpuBetween, cpuTimeOf } from "./cpu-time.ts";
import { startReaders } from "./readers.ts";
import { type Extent, rounded, type Section } from "./report.ts";
import { type BenchServer, startServer } from "./server.ts";

const DEVICES = [1, 2, 4, 8, 16, 32, 64];
const SLOTS = 8;
/** Of each slot. */
const TOKENS_PER_SECOND = 100;
/** Tokens of a task, the fewest and the most: tasks come and go while it is measured. */
const LENGTHS = [200, 400] as const;
/** Of the tasks that are read: they go on until all streams are open and it has been measured, and are canceled then. */
const ENDLESS = 30_000;
/** Milliseconds before it is measured, for compiled code. */
const WARM_UP = 3000;
/** Tasks that are asked for at once. */
const PAGE = 1000;

type Result = NonNullable<TaskView["result"]>;

interface Measured {
  /** Tokens a second. */
  readonly rate: number;
  /** Milliseconds of processor time for 1,000 tokens; null: this system does not tell. */
  readonly cpu: CpuTime | null;
}

export async function scaling({ quick, profile }: Extent): Promise<Section> {
  const seconds = quick ? 3 : 10;
  const rows = [];
  for (const devices of quick ? [1, 8, 64] : DEVICES) {
    const alone = await measure(devices, seconds, false, profile);
    const read = await measure(devices, seconds, true, profile);
    const ideal = devices * SLOTS * TOKENS_PER_SECOND;
    rows.push({
      devices,
      "tokens/s": Math.round(alone.rate),
      "of ideal": rounded(alone.rate / ideal, 3),
      "main ms": shown(alone.cpu?.main),
      "threads ms": shown(alone.cpu?.threads),
      "workers ms": shown(alone.cpu?.workers),
      "read: of ideal": rounded(read.rate / ideal, 3),
      "read: main ms": shown(read.cpu?.main),
      "read: threads ms": shown(read.cpu?.threads),
    });
  }
  return {
    name: "scaling",
    about:
      `Simulated devices with ${SLOTS} slots of ${TOKENS_PER_SECOND} tokens/s each and always enough tasks of ${LENGTHS.join(" to ")} tokens, for ${seconds} s: tokens/s ` +
      "and their share of what the devices could do; processor time of the server's main thread, of its other threads and of its workers for " +
      "1,000 tokens. Read: the same while a client in a process of its own, on the same cores, reads the event stream of every task; those have no end.",
    rows,
    bars: rows.map((row) => ({
      what: `tokens/s of ${row.devices} devices, of ideal`,
      measured: row["of ideal"],
      atLeast: 0.98,
    })),
  };
}

function shown(milliseconds: number | undefined): number | string {
  return milliseconds === undefined ? "-" : rounded(milliseconds, 2);
}

async function measure(devices: number, seconds: number, reads: boolean, profile: boolean): Promise<Measured> {
  const server = await startServer({
    devices: `simulated:${devices}`,
    config: {
      engine: { simulated: { tokens_per_second: TOKENS_PER_SECOND } },
      gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: SLOTS } },
      limits: { max_batch_size: 100_000 },
    },
    profile,
  });
  try {
    const slots = devices * SLOTS;
    const ids = await submit(server, reads ? endless(slots) : enough(slots, seconds));
    const readers = reads ? await startReaders(server, ids) : null;
    await sleep(WARM_UP);
    const [from, cpuBefore] = [Date.now(), cpuTimeOf(server.pid)];
    await sleep(seconds * 1000);
    const [to, cpuAfter] = [Date.now(), cpuTimeOf(server.pid)];
    if (reads) await server.ask("/api/v1/tasks/cancel", { task_ids: ids });
    else await Promise.all(ids.slice(-slots).map((id) => server.ask(`/api/v1/task/${id}?wait=60`)));
    await readers?.stop();
    const tokens = tokensBetween(from, to, await resultsOf(server, ids.length));
    return { rate: tokens / ((to - from) / 1000), cpu: costs(cpuBetween(cpuBefore, cpuAfter), tokens) };
  } finally {
    await server.stop();
  }
}

/** The lengths of so many tasks that all slots are busy until the time is over: different ones, so that they do not end together. */
function enough(slots: number, seconds: number): number[] {
  const [shortest, longest] = LENGTHS;
  const count = slots * Math.ceil((WARM_UP + seconds * 1000) / ((shortest / TOKENS_PER_SECOND) * 1000));
  return Array.from({ length: count }, (_, index) => shortest + ((index * 37) % (longest - shortest + 1)));
}

function endless(slots: number): number[] {
  return Array.from({ length: slots }, () => ENDLESS);
}

/** All at once. */
async function submit(server: BenchServer, lengths: readonly number[]): Promise<string[]> {
  const batch = lengths.map((length) => ({ text: "Sample input text", max_length: length }));
  const { tasks } = await server.ask<{ tasks: { task_id: string }[] }>("/api/v1/batch_predict", { batch });
  return tasks.map(({ task_id }) => task_id);
}

async function resultsOf(server: BenchServer, count: number): Promise<Result[]> {
  const results: Result[] = [];
  for (let offset = 0; offset < count; offset += PAGE) {
    const page = await server.ask<TasksAnswer>(`/api/v1/tasks?limit=${PAGE}&offset=${offset}`);
    for (const { result } of Object.values(page.tasks)) if (result !== undefined) results.push(result);
  }
  return results;
}

/** Tokens that were generated in that time: each task's own come evenly between its start and its last token. */
function tokensBetween(from: number, to: number, results: readonly Result[]): number {
  return results.reduce((sum, { timestamp, execution_time: seconds, usage }) => {
    const end = Date.parse(timestamp);
    const start = end - seconds * 1000;
    const within = Math.max(0, Math.min(end, to) - Math.max(start, from));
    return sum + usage.completion_tokens * (within / (end - start));
  }, 0);
}

/** Milliseconds for each thousand tokens. */
function costs(cpu: CpuTime | null, tokens: number): CpuTime | null {
  if (cpu === null) return null;
  const each = (seconds: number): number => (seconds * 1000) / (tokens / 1000);
  return { main: each(cpu.main), threads: each(cpu.threads), workers: each(cpu.workers) };
}
