/** What a submission costs when many tasks wait already, against an empty queue. */
import { ownCpuOf, untilQuiet } from "./cpu-time.ts";
import { type LoadResult } from "./load.ts";
import { type BusyServer, startBusyServer } from "./queue.ts";
import { type Extent, median, rounded, type Section } from "./report.ts";
import { load, requestTo } from "./submit.ts";

const CONNECTIONS = [1, 16];
/** Of one measurement: not so long that what is submitted meanwhile fills the empty queue too. */
const SECONDS = 0.3;

interface Slice extends LoadResult {
  /** Seconds of processor time of the server. */
  readonly cpu: number;
}

/** Of the same number of connections, one after the other. */
interface Pair {
  readonly connections: number;
  readonly full: Slice;
  readonly empty: Slice;
}

export async function queueDepth({ quick, profile }: Extent): Promise<Section> {
  const depth = quick ? 20_000 : 100_000;
  const pairs: Pair[] = [];
  const one = await startBusyServer({ profile });
  const other = await startBusyServer({ profile });
  try {
    await comparePair(one, other);
    for (let round = 0; round < (quick ? 2 : 4); round++) {
      const [full, empty] = round % 2 === 0 ? [one, other] : [other, one];
      await full.fill(depth);
      for (let i = 0; i < (quick ? 3 : 5); i++) pairs.push(...(await comparePair(full, empty)));
      await full.empty();
    }
  } finally {
    await one.stop();
    await other.stop();
  }
  const rows = CONNECTIONS.map((connections) => rowOf(pairs.filter((pair) => pair.connections === connections)));
  return {
    name: "life: queue depth",
    about:
      "POST /api/v1/predict (the document's example) to two servers whose slots are all taken, so that the task waits, on disk. Full: " +
      `${depth} tasks of 20 callers wait already, of which the measured one is one; empty: none. Medians of ` +
      `${pairs.length / CONNECTIONS.length} pairs of ${SECONDS} s in turns, between which the servers change roles; the ratio is the ` +
      "median of the pairs' ratios of p50. µs: processor time of the server for each task.",
    rows,
    bars: rows.map(({ connections, ratio }) => ({
      what: `submit latency at ${connections} connections: ratio of ${depth} tasks queued to none`,
      measured: ratio,
      atMost: 1.2,
    })),
  };
}

/** One pair for each of `CONNECTIONS`. */
async function comparePair(full: BusyServer, empty: BusyServer): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (const connections of CONNECTIONS) {
    pairs.push({ connections, full: await measure(full, connections), empty: await measure(empty, connections) });
  }
  return pairs;
}

async function measure(server: BusyServer, connections: number): Promise<Slice> {
  // What was done before leaves garbage, and a log to be moved into the database: both would be counted here.
  await server.memory();
  await untilQuiet(server.pid);
  const since = new Date().toISOString();
  const cpu = ownCpuOf(server.pid);
  const request = requestTo({ ...server, authorization: server.callers[0]! });
  const result = await load({ ...server, connections, seconds: SECONDS, request });
  const used = ownCpuOf(server.pid) - cpu;
  if (result.errors > 0) throw new Error(`${result.errors} submissions failed: ${result.firstError}`);
  await server.empty(since);
  return { ...result, cpu: used };
}

function rowOf(pairs: readonly Pair[]) {
  const middle = (of: (pair: Pair) => number): number => rounded(median(pairs.map(of)), 3);
  return {
    connections: pairs[0]!.connections,
    "empty p50 ms": middle(({ empty }) => empty.p50),
    "full p50 ms": middle(({ full }) => full.p50),
    ratio: middle(({ full, empty }) => full.p50 / empty.p50),
    "empty p99 ms": middle(({ empty }) => empty.p99),
    "full p99 ms": middle(({ full }) => full.p99),
    "empty µs": Math.round(middle(({ empty }) => micros(empty))),
    "full µs": Math.round(middle(({ full }) => micros(full))),
    "tasks a pair": Math.round(middle(({ full, empty }) => full.accepted + empty.accepted)),
  };
}

/** Of processor time for each task. */
function micros({ cpu, accepted }: Slice): number {
  return (cpu / accepted) * 1e6;
}
