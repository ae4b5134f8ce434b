/**
 * Readers of many event streams, a process of their own with as little work as possible for each event, because it shares the machine's
 * cores with the server. The first message says what to read; each later one is answered with what has come since the one before.
 */
import { connect, type Socket } from "node:net";

export interface Reading {
  readonly host: string;
  readonly port: number;
  /** Value of the `Authorization` header. */
  readonly authorization: string;
  /** Tasks whose events are read. */
  readonly ids: readonly string[];
}

export interface Arrivals {
  /** Pieces of streams that have come. */
  readonly pieces: number;
  readonly bytes: number;
  /** Streams that have ended. */
  readonly ended: number;
  /** Milliseconds between two pieces of the same stream: the shares 0.5, 0.99 and 1 of all, in ascending order. */
  readonly p50: number;
  readonly p99: number;
  readonly longest: number;
}

/** Connections that are opened at a time: more would not fit into the server's backlog. */
const WAVE = 250;

let pauses: number[] = [];
let bytes = 0;
let ended = 0;

if (process.send) {
  process.once("message", (reading: Reading) => {
    void openAll(reading).then(answerEach);
  });
  process.once("disconnect", () => process.exit(0));
}

function answerEach(): void {
  process.on("message", () => process.send?.(takeArrivals()));
  process.send?.(takeArrivals());
}

async function openAll(reading: Reading): Promise<void> {
  const buffer = Buffer.alloc(65_536);
  for (let from = 0; from < reading.ids.length; from += WAVE)
    await Promise.all(reading.ids.slice(from, from + WAVE).map((id) => open(reading, id, buffer)));
}

/** Resolves when the stream has begun. All share one buffer: nothing of it is kept. */
function open({ host, port, authorization }: Reading, id: string, buffer: Buffer): Promise<void> {
  const head = [`GET /api/v1/task/${id}/events HTTP/1.1`, `Host: ${host}:${port}`, `Authorization: ${authorization}`];
  return new Promise((resolve, reject) => {
    let last = 0;
    const read = (count: number): boolean => {
      const now = performance.now();
      if (last === 0) resolve();
      else pauses.push(now - last);
      last = now;
      bytes += count;
      return true;
    };
    const socket: Socket = connect({ host, port, onread: { buffer, callback: read } }, () =>
      socket.write(`${head.join("\r\n")}\r\n\r\n`),
    );
    socket.once("error", reject);
    socket.once("close", () => ended++);
  });
}

function takeArrivals(): Arrivals {
  const sorted = Float64Array.from(pauses).toSorted();
  const [p50, p99, longest] = [0.5, 0.99, 1].map((share) => sorted[Math.ceil(sorted.length * share) - 1] ?? NaN);
  const arrivals = { pieces: sorted.length, bytes, ended, p50: p50!, p99: p99!, longest: longest! };
  pauses = [];
  bytes = 0;
  return arrivals;
}
