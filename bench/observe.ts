/**
 * The price of being seen: a server with metrics that are scraped and the access log, and one with traces as well, beside one of which nobody
 * sees anything. All at once, asked by turns, so that noise meets all of them.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { gpusOf, happens, metricsOf, taskOf } from "../test/helpers/observed.ts";
import { cpuBetween, cpuTimeOf } from "./cpu-time.ts";
import { type Generate, throughput } from "./generation.ts";
import { type Bar, type Centre, centreOf, type Extent, median, type Row, rounded, type Section } from "./report.ts";
import { type BenchServer, startServer } from "./server.ts";
import { through } from "./streaming-client.ts";
import { load, requestTo } from "./submit.ts";

const SIDES = ["unseen", "seen", "traced"] as const;
type Side = (typeof SIDES)[number];
const UNSEEN = { metrics: { enabled: false }, log: { requests: "none" } };

const SEEN: Readonly<Record<Side, { what: string; config: object; traces: boolean }>> = {
  unseen: { what: "nothing", config: UNSEEN, traces: false },
  seen: { what: "metrics and log", config: {}, traces: false },
  traced: { what: "metrics, log and traces", config: {}, traces: true },
};

/** What a server that is seen may do of what the other one does. */
const LEAST = { submissions: 0.95, streaming: 0.97 };
/** In each, every server has a turn. */
const ROUNDS = { quick: 2, whole: 60 };
/** Rounds before all are started anew: two servers of one program differ by several per cent from start to start. */
const ROUNDS_A_START = 12;
/** Seconds of one turn of submissions. */
const SECONDS = 0.5;
/**
 * Milliseconds before the first turn in which each server gets nearly as fast as it will be. After 4 s V8 has compiled half of what it will, and
 * a server that does more has more to compile.
 */
const WARM_UP = { quick: 500, whole: 12_000 };
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

type Found = Readonly<Record<Side, Turn[]>>;

/** What all servers do by turns. */
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
      const { tokens, seconds } = await throughput(clientOf(server), work);
      return { count: tokens, seconds };
    }),
};

const clients = new WeakMap<BenchServer, Generate>();

/** One for a server: each keeps its connections, and a server closes some where it has thousands. */
function clientOf(server: BenchServer): Generate {
  const client = clients.get(server) ?? through(server, true);
  clients.set(server, client);
  return client;
}

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
  const found: Found = { unseen: [], seen: [], traced: [] };
  const wanted = pairs ?? (quick ? ROUNDS.quick : ROUNDS.whole);
  for (let left = wanted; left > 0; left -= ROUNDS_A_START)
    await compare(work, Math.min(left, ROUNDS_A_START), found, { quick, profile });
  const sides = (["seen", "traced"] as const).map((side) =>
    comparedTo(found.unseen, found[side], SEEN[side].what, work),
  );
  const about =
    `A server whose metrics are scraped every ${SCRAPE_EVERY} s of its turns, with the access log as it is by default, and one that sends traces as well, beside one without ` +
    `all of it, in turns of about ${work.seconds} s; all are started anew after ${ROUNDS_A_START} rounds. Ratios are to the one without, of the same round; ± is the interval ` +
    "of 95 %. CPU: processor time of the server's process for each of them.";
  return {
    name: `observe: ${work.name}`,
    about,
    rows: sides.map(({ row }) => row),
    bars: sides.map(({ bar }) => bar),
  };
}

function comparedTo(unseen: readonly Turn[], seen: readonly Turn[], what: string, work: Work): { row: Row; bar: Bar } {
  const rate = centreOf(seen.map((turn, index) => turn.rate / unseen[index]!.rate));
  const costs = seen.flatMap(({ cpu }, index) => {
    const other = unseen[index]!.cpu;
    return cpu === null || other === null ? [] : [cpu / other];
  });
  const row = {
    server: what,
    rounds: seen.length,
    [work.unit]: Math.round(median(seen.map((turn) => turn.rate))),
    [`${work.unit} without`]: Math.round(median(unseen.map((turn) => turn.rate))),
    ratio: shown(rate),
    "CPU, ratio": costs.length === 0 ? "not known" : shown(centreOf(costs)),
  };
  const bar = {
    what: `${work.unit} with ${what}, of those without`,
    measured: rate.value,
    margin: rate.margin,
    atLeast: LEAST[work.name],
  };
  return { row, bar };
}

/** Starts all servers and adds so many rounds of turns. */
async function compare(
  work: Work,
  rounds: number,
  found: Found,
  { quick, profile }: Pick<Extent, "quick" | "profile">,
): Promise<void> {
  await using started = new AsyncDisposableStack();
  const collector = started.adopt(await startCollector(), (running) => running.close());
  const sides: { name: Side; server: BenchServer }[] = [];
  for (const name of SIDES) {
    const { config, traces } = SEEN[name];
    const environment: Readonly<Record<string, string>> = traces ? { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } : {};
    const server = await startServer({ ...optionsOf(work, config), profile, environment });
    sides.push({ name, server: started.adopt(server, (running) => running.stop()) });
  }
  // By turns as well: V8 gives up much of what it has compiled while a server has nothing to do.
  const warm = performance.now() + sides.length * (quick ? WARM_UP.quick : WARM_UP.whole);
  while (performance.now() < warm) for (const { server } of sides) await work.turn(server);
  const each = Math.max(1, Math.round(SCRAPE_EVERY / work.seconds));
  for (let round = 0; round < rounds; round++) {
    // None is always the first one.
    const first = round % sides.length;
    for (const { name, server } of [...sides.slice(first), ...sides.slice(0, first)]) {
      const isScraped = name !== "unseen" && round % each === 0;
      found[name].push(await (isScraped ? scraped(server, work) : work.turn(server)));
    }
  }
}

function optionsOf({ simulated }: Work, config: object) {
  const gpu = { multi_gpu: { max_concurrent_tasks_per_gpu: SLOTS } };
  return { devices: `simulated:${DEVICES}`, config: { engine: { simulated }, gpu, ...config } };
}

/** Takes traces and throws them away. */
async function startCollector(): Promise<{ readonly url: string; close(): void }> {
  const server = createServer((request, response) => {
    request.resume();
    request.once("end", () => response.setHeader("content-type", "application/json").end("{}"));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = (): void => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
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
