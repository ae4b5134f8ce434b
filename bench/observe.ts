/**
 * The price of being seen: a server as it comes, with metrics that are scraped, beside one without them. Both at once, asked by turns, so that noise meets both.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { gpusOf, happens, metricsOf, taskOf } from "../test/helpers/observed.ts";
import { cpuBetween, cpuTimeOf } from "./cpu-time.ts";
import { throughput } from "./generation.ts";
import { type Bar, type Centre, centreOf, type Extent, median, type Row, rounded, type Section } from "./report.ts";
import { type BenchServer, startServer } from "./server.ts";
import { through } from "./streaming-client.ts";
import { load, requestTo } from "./submit.ts";

/** What a server that is seen may do of what the other one does. */
const LEAST = { submissions: 0.95, streaming: 0.97 };
const PAIRS = { quick: 2, whole: 60 };
/** Turns of a pair of servers before both are started anew: two servers of one program differ by several per cent from start to start. */
const PAIRS_A_START = 12;
/** Seconds of one turn of submissions. */
const SECONDS = 0.5;
/** Milliseconds before the first turn in which each server gets as fast as it will be. */
const WARM_UP = { quick: 1000, whole: 4000 };
const CONNECTIONS = 64;
/** Seconds of turns between two scrapes. */
const SCRAPE_EVERY = 5;

const DEVICES = 4;
/** Of each device; all of them stream at once. */
const SLOTS = 64;
/** Tokens a second of each stream: an engine that is as fast as it can be would tell many tokens in one message. */
const SPEED = 200;
const TOKENS = 100;

/** A scrape of a large server. */
const LARGE = { gpus: 64, users: 200, models: 40 };
const SCRAPES = { quick: 10, whole: 60 };
const MOST_MS = 20;
const MOST_SERIES = 3000;

/** Of one server in one turn. */
interface Turn {
  /** Tasks or tokens a second. */
  readonly rate: number;
  /** Seconds of processor time of the server's process for each; null: not known on this system. */
  readonly cpu: number | null;
}

/** What both servers do by turns. */
interface Work {
  readonly name: keyof typeof LEAST;
  readonly unit: string;
  /** Seconds that a turn takes, about. */
  readonly seconds: number;
  readonly simulated: { readonly tokens_per_second: number };
  turn(server: BenchServer): Promise<Turn>;
}

const SUBMISSIONS: Work = {
  name: "submissions",
  unit: "tasks/s",
  seconds: SECONDS,
  simulated: { tokens_per_second: 0 },
  turn: (server) =>
    priced(server, async () => {
      const asked = { ...server, connections: CONNECTIONS, seconds: SECONDS, request: requestTo(server) };
      const { accepted, firstError, seconds } = await load(asked);
      if (firstError !== "") throw new Error(`a submission failed: ${firstError}`);
      return { count: accepted, seconds };
    }),
};

const STREAMING: Work = {
  name: "streaming",
  unit: "tokens/s",
  seconds: TOKENS / SPEED,
  simulated: { tokens_per_second: SPEED },
  turn: (server) =>
    priced(server, async () => {
      const streams = DEVICES * SLOTS;
      const work = { tasks: streams, concurrent: streams, maxLength: TOKENS };
      const { tokens, seconds } = await throughput(through(server, true), work);
      return { count: tokens, seconds };
    }),
};

export const OBSERVE = [
  (extent: Extent): Promise<Section> => compared(SUBMISSIONS, extent),
  (extent: Extent): Promise<Section> => compared(STREAMING, extent),
  scrapes,
];

async function priced(server: BenchServer, work: () => Promise<{ count: number; seconds: number }>): Promise<Turn> {
  const before = cpuTimeOf(server.pid);
  const { count, seconds } = await work();
  const cpu = cpuBetween(before, cpuTimeOf(server.pid));
  return { rate: count / seconds, cpu: cpu && (cpu.main + cpu.threads) / count };
}

async function compared(work: Work, { quick, profile, pairs }: Extent): Promise<Section> {
  const found = { seen: [] as Turn[], unseen: [] as Turn[] };
  const wanted = pairs ?? (quick ? PAIRS.quick : PAIRS.whole);
  for (let left = wanted; left > 0; left -= PAIRS_A_START)
    await compare(work, Math.min(left, PAIRS_A_START), found, { quick, profile });
  const rates = found.seen.map(({ rate }, index) => rate / found.unseen[index]!.rate);
  const costs = found.seen.flatMap(({ cpu }, index) => {
    const other = found.unseen[index]!.cpu;
    return cpu === null || other === null ? [] : [cpu / other];
  });
  const rate = centreOf(rates);
  const row: Row = {
    pairs: wanted,
    [`seen ${work.unit}`]: Math.round(median(found.seen.map((turn) => turn.rate))),
    [`unseen ${work.unit}`]: Math.round(median(found.unseen.map((turn) => turn.rate))),
    ratio: shown(rate),
    "CPU, ratio": costs.length === 0 ? "not known" : shown(centreOf(costs)),
  };
  const bar: Bar = {
    what: `${work.unit} of a server that is seen, of one that is not`,
    measured: rate.value,
    margin: rate.margin,
    atLeast: LEAST[work.name],
  };
  const about =
    `A server as it comes, its metrics scraped every ${SCRAPE_EVERY} s of its turns, beside one without metrics, in turns of about ${work.seconds} s; both are ` +
    `started anew after ${PAIRS_A_START} pairs of them. ± is the interval of 95 %. CPU: processor time of the server's process for each of them.`;
  return { name: `observe: ${work.name}`, about, rows: [row], bars: [bar] };
}

async function compare(
  work: Work,
  pairs: number,
  found: { readonly seen: Turn[]; readonly unseen: Turn[] },
  { quick, profile }: Pick<Extent, "quick" | "profile">,
): Promise<void> {
  await using servers = new AsyncDisposableStack();
  const start = async (config: object): Promise<BenchServer> =>
    servers.adopt(await startServer({ ...optionsOf(work, config), profile }), (server) => server.stop());
  const unseen = await start({ metrics: { enabled: false } });
  const seen = await start({});
  for (const server of [unseen, seen])
    for (const end = performance.now() + (quick ? WARM_UP.quick : WARM_UP.whole); performance.now() < end;)
      await work.turn(server);
  const each = Math.max(1, Math.round(SCRAPE_EVERY / work.seconds));
  for (let pair = 0; pair < pairs; pair++) {
    const turns = {
      unseen: async () => void found.unseen.push(await work.turn(unseen)),
      seen: async () => void found.seen.push(await (pair % each === 0 ? scraped(seen, work) : work.turn(seen))),
    };
    // Neither is always the first one.
    const order = pair % 2 === 0 ? (["seen", "unseen"] as const) : (["unseen", "seen"] as const);
    for (const side of order) await turns[side]();
  }
}

function optionsOf({ simulated }: Work, config: object) {
  const gpu = { multi_gpu: { max_concurrent_tasks_per_gpu: SLOTS } };
  return { devices: `simulated:${DEVICES}`, config: { engine: { simulated }, gpu, ...config } };
}

/** A turn in the midst of which Prometheus comes. */
async function scraped(server: BenchServer, work: Work): Promise<Turn> {
  const turn = work.turn(server);
  await sleep((work.seconds * 1000) / 2);
  const { host, port, authorization } = server;
  const answer = await fetch(`http://${host}:${port}/metrics`, { headers: { authorization } });
  if (!answer.ok) throw new Error(`a scrape was refused: ${answer.status}`);
  await answer.text();
  return turn;
}

function shown({ value, margin }: Centre): string {
  return `${value.toFixed(3)} ± ${margin.toFixed(3)}`;
}

async function scrapes({ quick }: Extent): Promise<Section> {
  const gpus = gpusOf(LARGE.gpus, LARGE.models);
  const metrics = metricsOf({ gpus: () => gpus });
  for (let user = 0; user < LARGE.users; user++)
    for (let gpu = 0; gpu < LARGE.gpus; gpu++)
      happens(taskOf(`user-${user}`, user, { ranModel: `model-${user % LARGE.models}` }), gpu);
  const found: Timed[] = [];
  for (let scrape = 0; scrape < (quick ? SCRAPES.quick : SCRAPES.whole); scrape++) found.push(await timed(metrics));
  metrics.stop();
  const [first, ...others] = found;
  const middle = (of: (one: Timed) => number): number => rounded(median(others.map(of)), 1);
  const series = first!.series;
  const total = middle(({ total: ms }) => ms);
  return {
    name: "observe: scrapes",
    about:
      `Scrapes of the metrics of ${LARGE.gpus} GPUs, ${LARGE.users} users and ${LARGE.models} models that have used each other. Milliseconds of the event loop: all of a scrape, and the ` +
      "longest piece of it that nothing else comes between; medians.",
    rows: [
      {
        series,
        kB: Math.round(first!.bytes / 1000),
        "all ms": total,
        "longest ms": middle((one) => one.longest),
        "first scrape ms": rounded(first!.total, 1),
      },
    ],
    bars: [
      { what: "series", measured: series, atMost: MOST_SERIES },
      { what: "milliseconds of processor time for a scrape", measured: total, atMost: MOST_MS },
    ],
  };
}

interface Timed {
  /** Milliseconds of processor time. */
  readonly total: number;
  /** Milliseconds. */
  readonly longest: number;
  readonly series: number;
  readonly bytes: number;
}

async function timed(metrics: ReturnType<typeof metricsOf>): Promise<Timed> {
  let longest = 0;
  let last = performance.now();
  let isOver = false;
  const look = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (!isOver) setImmediate(look);
  };
  setImmediate(look);
  const cpu = process.cpuUsage();
  const { text } = await metrics.scrape();
  const { user, system } = process.cpuUsage(cpu);
  const total = (user + system) / 1000;
  isOver = true;
  const series = text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).length;
  return { total, longest, series, bytes: text.length };
}
