/** Very many open event streams on one server: whether it ever stalls, and how late its readers hear of a token. */
import { setTimeout as sleep } from "node:timers/promises";
import { type CpuTime, cpuBetween, cpuTimeOf } from "./cpu-time.ts";
import { type Memory } from "./memory-probe.ts";
import { type Arrivals } from "./read-streams.ts";
import { mostSockets, type Readers, startReaders } from "./readers.ts";
import { type Extent, rounded, type Section } from "./report.ts";
import { type BenchServer, startServer } from "./server.ts";

const DEVICES = 40;
const SLOTS = 250;
const WANTED = DEVICES * SLOTS;
/** Tokens a second of each task. */
const SPEED = 1;
/** Milliseconds between two tokens of a task. */
const PERIOD = 1000 / SPEED;
/** Milliseconds that the server's event loop may be held up. */
const BAR = 50;

export async function streams({ quick, profile }: Extent): Promise<Section> {
  const slots = Math.min(SLOTS, Math.floor(mostSockets() / DEVICES));
  const count = slots * DEVICES;
  if (count < WANTED) console.error(`Only ${count} streams: a process may have no more open files here (ulimit -n).`);
  const seconds = quick ? 15 : 60;
  const server = await startServer({
    devices: `simulated:${DEVICES}`,
    config: {
      engine: { simulated: { tokens_per_second: SPEED } },
      gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: SLOTS } },
      server: { drain_timeout: 0 },
    },
    profile,
    probe: true,
  });
  try {
    const readers = await startReaders(server, await fill(server, slots));
    // Compiled code, and two tokens each.
    await sleep(3 * PERIOD);
    const watched = await watch(server, readers, seconds);
    await readers.stop();
    return sectionOf(count, seconds, watched);
  } finally {
    await server.stop();
  }
}

/**
 * Starts the tasks of one device after those of the other, evenly over the time of one token: an engine tells the tokens of all its
 * slots in one message, and different GPUs do not keep step with each other.
 */
async function fill(server: BenchServer, slots: number): Promise<string[]> {
  const batch = Array.from({ length: slots }, () => ({ text: "Sample input text", max_length: 30_000 }));
  const begun = performance.now();
  const answers: Promise<{ tasks: { task_id: string }[] }>[] = [];
  for (let device = 0; device < DEVICES; device++) {
    await sleep(Math.max(0, begun + (device * PERIOD) / DEVICES - performance.now()));
    answers.push(server.ask("/api/v1/batch_predict", { batch, gpu_options: { batch_split: false } }));
  }
  return (await Promise.all(answers)).flatMap(({ tasks }) => tasks.map((task) => task.task_id));
}

interface Watched {
  readonly memory: Memory;
  readonly arrivals: Arrivals;
  /** null: this system does not tell. */
  readonly cpu: CpuTime | null;
}

async function watch(server: BenchServer, readers: Readers, seconds: number): Promise<Watched> {
  await server.memory();
  await sleep(PERIOD);
  await readers.arrivals();
  const before = cpuTimeOf(server.pid);
  await sleep(seconds * 1000);
  const cpu = cpuBetween(before, cpuTimeOf(server.pid));
  return { arrivals: await readers.arrivals(), cpu, memory: await server.memory() };
}

function sectionOf(count: number, seconds: number, { memory, arrivals, cpu }: Watched): Section {
  const { pieces, p50, p99, longest } = arrivals;
  const share = (used: number): number => rounded(used / seconds, 2);
  return {
    name: "streams",
    about:
      `${count} tasks on ${DEVICES} simulated devices, each with a reader of its event stream, ${SPEED} token a second each, for ${seconds} s. Delay: ` +
      "how late the server's event loop came to its timers. Pause: between two pieces of a stream, at its reader, a process on the same " +
      `cores; ${PERIOD} ms would be ideal. CPU: cores that the server's main thread, its other threads and the workers kept busy.`,
    rows: [
      {
        streams: count,
        "pieces/s": Math.round(pieces / seconds),
        "delay p99 ms": rounded(memory.delayP99, 1),
        "delay max ms": rounded(memory.delayMax, 1),
        "pause p50 ms": rounded(p50, 1),
        "pause p99 ms": rounded(p99, 1),
        "pause max ms": rounded(longest, 1),
        ...(cpu !== null && {
          "main CPU": share(cpu.main),
          "threads CPU": share(cpu.threads),
          "workers CPU": share(cpu.workers),
        }),
        "resident MiB": Math.round(memory.resident / 2 ** 20),
      },
    ],
    bars: [
      { what: "longest ms that the event loop was held up", measured: memory.delayMax, atMost: BAR },
      { what: "streams", measured: count, atLeast: WANTED },
      { what: "pieces a second of each stream", measured: pieces / seconds / count, atLeast: 0.98 * SPEED },
    ],
  };
}
