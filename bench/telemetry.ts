/* npm run bench:telemetry [-- --quick] [--record]: what a sample of the GPUs costs, and how long it holds up the server's event loop. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { GpuMonitor } from "../src/gpu/telemetry/monitor.ts";
import { openNvml } from "../src/gpu/telemetry/nvml.ts";
import { OthersMeter } from "../src/gpu/card/external-load.ts";
import { type Snapshot } from "../src/gpu/telemetry/telemetry.ts";
import { createLogger } from "../src/log/log.ts";
import { type GpuStubs, gpuStubs, NO_GPU_STUBS, stubGpu } from "../test/helpers/gpu-stubs.ts";
import { watchOthers } from "./cpu-time.ts";
import { circumstances, type Extent, lineOf, markdownOf, median, passes, record, type Section } from "./report.ts";

const GPUS = [1, 8, 64];
/** Milliseconds between two samples: the default, and far more often than anybody wants. */
const INTERVALS = [500, 50];
/** What the bars are about: the default interval, on a machine with as many GPUs as a usual server for them has. */
const JUDGED = { gpus: 8, interval: INTERVALS[0] };
const SNAPSHOTS_A_ROUND = 10;
/** Of the stress, whose samples come ten times as often. */
const SECONDS_OF_STRESS = 2;

/** Of one wake-up of the server's event loop. */
interface Cost {
  /** Milliseconds in which it could do nothing else. */
  readonly held: number;
  /** Milliseconds of processor time of its thread: what others do on the machine does not change it. */
  readonly cpu: number;
}

interface Round {
  /** For each snapshot: receiving and parsing it, and telling the others' share of each GPU. */
  readonly snapshots: readonly Cost[];
  /** For as many wake-ups by a timer that does nothing, just before. */
  readonly timers: readonly Cost[];
  /** Milliseconds of the event loop's worst delay without and with telemetry. */
  readonly delays: { readonly without: number; readonly with: number };
  /** Milliseconds of processor time of the telemetry process for each sample; null: this system does not tell. */
  readonly process: number | null;
  /** Of one snapshot as it travels. */
  readonly bytes: number;
}

interface Setting {
  readonly stubs: GpuStubs;
  readonly interval: number;
  readonly quick: boolean;
}

/** null: no stub driver can be built here. */
async function telemetry({ quick }: Pick<Extent, "quick">): Promise<Section | null> {
  await using cleanup = new AsyncDisposableStack();
  const stubs = await gpuStubs({ after: (undo) => cleanup.defer(async () => undo()) }, []);
  if (stubs === null) return null;
  const rounds = quick ? 5 : 7;
  const found = [];
  for (const gpus of GPUS) {
    stubs.write(Array.from({ length: gpus }, (_, index) => busyGpu(index + 1)));
    const samples = await sampleCosts(stubs, quick ? 300 : 2000);
    for (const interval of INTERVALS) {
      const measured: Round[] = [];
      for (let i = 0; i < rounds; i++) measured.push(await measure({ stubs, interval, quick }));
      found.push({ gpus, interval, samples, rounds: measured });
    }
  }
  const judged = found.find(({ gpus, interval }) => gpus === JUDGED.gpus && interval === JUDGED.interval)!.rounds;
  return {
    name: "telemetry",
    about: `Stub GPUs with two processes each. "sample": one NVML sample of all of them, asked for again and again, with the stub's own work, which is not that of a real driver. "process": processor time of the telemetry process for each sample at its pace. "held" and "CPU": of the server's main thread for one snapshot, from its arrival to the others' share of each GPU; "timer": the same for a timer that does nothing. "delay": the worst of the event loop, told to about 1 ms, without and with telemetry in turns. What is longest or worst is that of a round, and the median of ${rounds} rounds; what else the machine does is in it.`,
    rows: found.map(rowOf),
    bars: [
      {
        what: `longest ms that a snapshot of ${JUDGED.gpus} GPUs every ${JUDGED.interval} ms held up the event loop, beyond a timer's`,
        measured: median(judged.map(({ snapshots, timers }) => longest(snapshots) - longest(timers))),
        atMost: 1,
      },
    ],
  };
}

interface Found {
  readonly gpus: number;
  readonly interval: number;
  /** Microseconds of each. */
  readonly samples: readonly number[];
  readonly rounds: readonly Round[];
}

function rowOf({ gpus, interval, samples, rounds }: Found) {
  const snapshots = rounds.flatMap((round) => round.snapshots);
  const process = rounds.map((round) => round.process).filter((cost) => cost !== null);
  const middle = (of: (round: Round) => number): number => thousandths(median(rounds.map(of)));
  return {
    GPUs: gpus,
    "interval ms": interval,
    "sample µs": Math.round(median(samples)),
    "p99 µs": Math.round(percentile(samples, 0.99)),
    "process ms": process.length === 0 ? "–" : thousandths(median(process)),
    bytes: rounds[0]!.bytes,
    "held ms": thousandths(median(snapshots.map(({ held }) => held))),
    "CPU ms": thousandths(median(snapshots.map(({ cpu }) => cpu))),
    "longest held": middle((round) => longest(round.snapshots)),
    "timer ms": thousandths(median(rounds.flatMap(({ timers }) => timers.map(({ held }) => held)))),
    "longest timer": middle((round) => longest(round.timers)),
    "delay without": middle(({ delays }) => delays.without),
    "delay with": middle(({ delays }) => delays.with),
  };
}

function longest(costs: readonly Cost[]): number {
  return Math.max(...costs.map(({ held }) => held));
}

/** One that works for us and for somebody else. */
function busyGpu(number: number) {
  const processes = [
    { pid: 1000 + number, memory: 40 * 2 ** 30, utilization: 70 },
    { pid: 3000 + number, memory: 2 ** 30, utilization: 5 },
  ];
  return stubGpu(number, { processes, power: 400 });
}

/** Microseconds of each sample, in this process. */
async function sampleCosts({ nvml, file }: GpuStubs, count: number): Promise<number[]> {
  process.env["NVML_STUB_FILE"] = file;
  const driver = await openNvml(nvml);
  const costs: number[] = [];
  try {
    await driver.discover();
    // The first ones are the compiler's.
    for (let i = -100; i < count; i++) {
      const started = performance.now();
      await driver.sample();
      if (i >= 0) costs.push((performance.now() - started) * 1000);
    }
  } finally {
    await driver.close();
  }
  return costs;
}

async function measure({ stubs, interval, quick }: Setting): Promise<Round> {
  const seconds = interval === INTERVALS[0] ? (SNAPSHOTS_A_ROUND * interval) / 1000 : SECONDS_OF_STRESS;
  const duration = (quick ? seconds / 2 : seconds) * 1000;
  const without = await worstDelay(duration / 2);
  const timers = await timerCosts(interval, duration);
  const monitor = new GpuMonitor({ interval, log: createLogger("warn"), environment: stubs.environment });
  try {
    const server = new Server(monitor);
    await monitor.start();
    await server.next();
    const delays = { without, with: await worstDelay(duration / 2) };
    return { timers, delays, ...(await server.measure(duration)) };
  } finally {
    await monitor.stop();
  }
}

/** Milliseconds beyond the resolution. */
async function worstDelay(duration: number): Promise<number> {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  await sleep(duration);
  histogram.disable();
  return histogram.max / 1e6 - 1;
}

/** What each wake-up of this thread costs, from its beginning to the call of `lap`. The thread must have nothing else to do. */
class Laps {
  costs: Cost[] = [];
  #held = 0;
  #cpu = 0;

  lap(): void {
    const { active } = performance.eventLoopUtilization();
    this.costs.push({ held: active - this.#held, cpu: processorTime() - this.#cpu });
    this.#cpu = processorTime();
    this.#held = performance.eventLoopUtilization().active;
  }
}

async function timerCosts(interval: number, duration: number): Promise<readonly Cost[]> {
  const laps = new Laps();
  const timer = setInterval(() => laps.lap(), interval);
  // With the first one the measuring begins.
  await sleep(interval + duration);
  clearInterval(timer);
  return laps.costs.slice(1);
}

/** What the server does with a snapshot. This process does nothing else meanwhile. */
class Server {
  readonly #monitor: GpuMonitor;
  readonly #meters = new Map<string, OthersMeter>();
  readonly #laps = new Laps();
  #heard = Promise.withResolvers<Snapshot>();

  constructor(monitor: GpuMonitor) {
    this.#monitor = monitor;
    monitor.subscribe((snapshot) => this.#onSnapshot(snapshot));
  }

  next(): Promise<Snapshot> {
    this.#heard = Promise.withResolvers();
    return this.#heard.promise;
  }

  async measure(duration: number): Promise<Pick<Round, "snapshots" | "process" | "bytes">> {
    const { length } = JSON.stringify(await this.next());
    const before = processorTimeOf(this.#monitor.pid!);
    // What this function has just done is counted with the next one.
    await this.next();
    this.#laps.costs = [];
    await sleep(duration);
    const snapshots = this.#laps.costs;
    const after = processorTimeOf(this.#monitor.pid!);
    const process = before === null || after === null ? null : (after - before) / (snapshots.length + 1);
    return { snapshots, process, bytes: length };
  }

  #onSnapshot(snapshot: Snapshot): void {
    for (const sample of snapshot.samples) {
      const meter = this.#meters.get(sample.uuid) ?? new OthersMeter();
      this.#meters.set(sample.uuid, meter);
      meter.update(sample, { pids: new Set([sample.processes![0]!.pid]), workers: "loaded", idleFor: 0 });
    }
    this.#laps.lap();
    this.#heard.resolve(snapshot);
  }
}

/** Milliseconds of this thread since its start. */
function processorTime(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Milliseconds of all threads of a process since their start; null: this system does not tell. */
function processorTimeOf(pid: number): number | null {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    const times = threads.map((thread) => readFileSync(join(`/proc/${pid}/task`, thread, "schedstat"), "utf8"));
    return times.reduce((sum, time) => sum + Number(time.split(" ")[0]) / 1e6, 0);
  } catch {
    return null;
  }
}

function percentile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.ceil(values.length * share) - 1]!;
}

function thousandths(value: number): number {
  return Math.round(value * 1000) / 1000;
}

const { values } = parseArgs({
  options: { quick: { type: "boolean", default: false }, record: { type: "boolean", default: false } },
});
const where = circumstances(["npm run bench:telemetry --", ...process.argv.slice(2)].join(" "));
console.log(`${lineOf(where)}\n`);
const others = watchOthers();
const found = await telemetry(values);
if (found === null) {
  console.log(`Skipped: ${NO_GPU_STUBS}.`);
} else {
  const section = { ...found, others: others() };
  console.log(markdownOf(section));
  if (values.record) console.log(`\nWritten to ${record(where, [section])}.md and .json`);
  if (!passes(section)) process.exitCode = 1;
}
