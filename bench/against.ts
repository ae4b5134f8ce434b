/** This checkout against another one, such as the commit before a change: both servers at once, asked by turns, so that noise meets both. */
import { join, resolve } from "node:path";
import { cpuBetween, cpuTimeOf } from "./cpu-time.ts";
import { type Centre, centreOf, type Extent, type Section } from "./report.ts";
import { type BenchServer, startServer } from "./server.ts";
import { load, requestTo } from "./submit.ts";

const CONNECTIONS = [1, 16, 64];
/** Of one turn. Many short turns tell more than few long ones: what disturbs a machine lasts for seconds. */
const SECONDS = 0.5;
const PAIRS = { quick: 20, whole: 60 };
/**
 * Turns of a pair of servers before both are started anew. Two servers of one program differ by five per cent from start to start, and by
 * less from turn to turn: many starts tell more than many turns, and one figure is made of each.
 */
const PAIRS_A_START = 5;
/**
 * Seconds in which each server gets as fast as it will be. They take turns here, too: V8 gives up much of what it has compiled while a
 * server has nothing to do.
 */
const WARM_UP = 15;
/** What this checkout may do of what the other one does, in tasks a second. */
const LEAST = 0.97;

/** What one server did in one turn. */
interface Turn {
  readonly rate: number;
  /** Seconds of processor time of the server and its workers for each task; null: not known on this system. */
  readonly cpu: number | null;
}

/** @throws {Error} when no other checkout was named */
export async function against({ quick, checkout, connections: counts = CONNECTIONS, pairs }: Extent): Promise<Section> {
  if (checkout === undefined) throw new Error("say with --checkout FOLDER what to compare with; it needs its npm ci");
  const program = join(resolve(checkout), "bin", "alt-las.js");
  const comparisons = counts.map((connections) => ({ connections, rates: [] as number[], costs: [] as number[] }));
  const wanted = pairs ?? (quick ? PAIRS.quick : PAIRS.whole);
  for (let left = wanted; left > 0; left -= PAIRS_A_START) {
    await compare({ program, pairs: Math.min(left, PAIRS_A_START), warmUp: WARM_UP }, comparisons);
  }
  const found = comparisons.map(({ connections, rates, costs }) => {
    const rate = centreOf(rates);
    const cpu = costs.length === 0 ? "not known" : shown(centreOf(costs));
    return { rate, row: { connections, pairs: wanted, "tasks/s, ratio": shown(rate), "CPU a task, ratio": cpu } };
  });
  return {
    name: "against",
    about:
      `POST /api/v1/predict to this checkout and to ${checkout}, in turns of ${SECONDS} s; both are started anew after ${PAIRS_A_START} pairs of them. Ratios are this checkout's figure to the ` +
      "other's of the same pair of turns. Each start has one, the centre of its pairs; ± is the interval of 95 % over the starts.",
    rows: found.map(({ row }) => row),
    bars: found.map(({ row, rate }) => ({
      what: `tasks/s at ${row.connections} connections, ratio`,
      measured: rate.value,
      margin: rate.margin,
      atLeast: LEAST,
    })),
  };
}

/** The ratios of this checkout's figures to the other's, one for each start. */
interface Comparison {
  readonly connections: number;
  readonly rates: number[];
  readonly costs: number[];
}

interface Start {
  /** The other checkout's bin/alt-las.js. */
  readonly program: string;
  readonly pairs: number;
  /** Seconds of turns before the first one that counts. */
  readonly warmUp: number;
}

/** Starts both servers, and adds to each comparison what so many pairs of turns come to. */
export async function compare({ program, pairs, warmUp }: Start, comparisons: readonly Comparison[]): Promise<void> {
  const options = { devices: "simulated:4", config: { engine: { simulated: { tokens_per_second: 0 } } } };
  await using servers = new AsyncDisposableStack();
  const theirs = servers.adopt(await startServer({ ...options, program }), (server) => server.stop());
  const ours = servers.adopt(await startServer(options), (server) => server.stop());
  for (let done = 0; done < warmUp; done += SECONDS) for (const server of [theirs, ours]) await turn(server, 64);
  for (const { connections, ...all } of comparisons) {
    const rates: number[] = [];
    const costs: number[] = [];
    for (let pair = 0; pair < pairs; pair++) {
      // Neither is always the first one.
      const oursFirst = pair % 2 === 0;
      const first = await turn(oursFirst ? ours : theirs, connections);
      const second = await turn(oursFirst ? theirs : ours, connections);
      const [own, other] = oursFirst ? [first, second] : [second, first];
      rates.push(own.rate / other.rate);
      if (own.cpu !== null && other.cpu !== null) costs.push(own.cpu / other.cpu);
    }
    all.rates.push(centreOf(rates).value);
    if (costs.length > 0) all.costs.push(centreOf(costs).value);
  }
}

function shown({ value, margin }: Centre): string {
  return `${value.toFixed(3)} ± ${margin.toFixed(3)}`;
}

async function turn(server: BenchServer, connections: number, seconds = SECONDS): Promise<Turn> {
  const before = cpuTimeOf(server.pid);
  const { accepted, firstError, ...took } = await load({ ...server, connections, seconds, request: requestTo(server) });
  if (firstError !== "") throw new Error(`a submission failed: ${firstError}`);
  const cpu = cpuBetween(before, cpuTimeOf(server.pid));
  return {
    rate: accepted / took.seconds,
    cpu: cpu && (cpu.main + cpu.threads + cpu.workers) / accepted,
  };
}
