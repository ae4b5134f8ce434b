/** The server's process: its event loop, its disk writes, its memory. */
import { getHeapStatistics } from "node:v8";
import { wallTime } from "../../common/clock.ts";
import { STORE_COMMITTED } from "../../topics.ts";
import type { Instruments } from "./instruments.ts";

/** Milliseconds between two looks at the event loop: so few cost nothing, and a delay of all events is met by them as often as by others. */
const LOOK = 100;
const DELAYS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
const COMMITS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30];

/** @returns what ends it */
export function countProcess(instruments: Instruments): readonly (() => void)[] {
  const help = "What a write to the database takes: all that is written together.";
  const commits = instruments.histogram("store_commit_seconds", help, COMMITS);
  return [STORE_COMMITTED.subscribe(({ seconds }) => commits(seconds)), watchEventLoop(instruments)];
}

function watchEventLoop(instruments: Instruments): () => void {
  const help = "How late a timer is, asked ten times a second.";
  const delays = instruments.histogram("event_loop_delay_seconds", help, DELAYS);
  let due = performance.now() + LOOK;
  const timer = setInterval(() => {
    const now = performance.now();
    delays((now - due) / 1000);
    due = now + LOOK;
  }, LOOK);
  return () => clearInterval(timer);
}

/** @returns what reads them, for a scrape */
export function showProcess(instruments: Instruments, version: string): () => void {
  const cpu = instruments.total("process_cpu_seconds_total", "Processor time of the server, without its workers.");
  const memory = instruments.gauge(
    "process_resident_memory_bytes",
    "Resident memory of the server, without its workers.",
  );
  const heap = instruments.gauge("process_heap_bytes", "The JavaScript heap that the server uses.");
  const limit = getHeapStatistics().heap_size_limit;
  instruments.gauge("process_heap_limit_bytes", "What the JavaScript heap may take.").set(limit);
  const started = wallTime() / 1000 - process.uptime();
  instruments.gauge("process_start_time_seconds", "When the server started, in Unix seconds.").set(started);
  instruments.gauge("build_info", "Always 1.", ["version", "node"]).set(1, version, process.version);
  return () => {
    const { user, system } = process.cpuUsage();
    cpu.clear();
    cpu.set((user + system) / 1e6);
    memory.set(process.memoryUsage.rss());
    heap.set(process.memoryUsage().heapUsed);
  };
}
