/**
 * Short streamed tasks through an `openai` engine: what the server itself costs them, as the server behind it generates one token at no
 * cost (upstream.ts). Beside another checkout all take turns, so that noise meets them alike.
 */
import { join, resolve } from "node:path";
import { startChild } from "./child.ts";
import { cpuBetween, cpuTimeOf } from "./cpu-time.ts";
import { type Bar, type Centre, centreOf, type Extent, median, type Row, rounded, type Section } from "./report.ts";
import { type BenchServer, startServer } from "./server.ts";
import { load, requestTo } from "./submit.ts";
import { TOKEN, UPSTREAM_MODEL } from "./upstream-words.ts";

/** Of the server behind it, so that none of them waits for another. */
export const SLOTS = 64;
/** At which processor time and the ceiling are compared. */
export const CONNECTIONS = 32;
/** At which the first token is timed, and the milliseconds that the server may add to it. */
export const ADDED: ReadonlyMap<number, number> = new Map([
  [1, 1],
  [8, 4],
  [32, 8],
]);
/** Of one turn. */
const SECONDS = 0.5;
const PAIRS = { quick: 6, whole: 40 };
/** Turns in which each first token is timed, at each number of connections. */
const TIMED = { quick: 2, whole: 4 };
/** Turns before both servers are started anew: two servers of one program differ by several per cent from start to start. */
const TURNS_A_START = 10;
/** Tasks of each way, about, before the first turn: V8 compiles what it will by the first 20,000, however long they take. */
const WARM_UP = { quick: 3000, whole: 15_000 };
/** The processor time that a task may take of what it takes in the other checkout. */
const MOST = 1.03;

/** The ways to ask. */
const WAYS = {
  predict: {
    path: "/api/v1/predict",
    body: { text: "Sample input text", max_length: 1, stream: true },
    direct: { path: "/v1/completions", body: { model: UPSTREAM_MODEL, prompt: "Sample input text", max_tokens: 1 } },
  },
  chat: {
    path: "/v1/chat/completions",
    body: {
      model: UPSTREAM_MODEL,
      messages: [{ role: "user", content: "Sample input text" }],
      max_tokens: 1,
      stream: true,
    },
    direct: {
      path: "/v1/chat/completions",
      body: { model: UPSTREAM_MODEL, messages: [{ role: "user", content: "Sample input text" }], max_tokens: 1 },
    },
  },
} as const;
type Way = keyof typeof WAYS;
const ALL_WAYS = Object.keys(WAYS) as Way[];

/** Who is asked. */
type Target = Pick<BenchServer, "host" | "port" | "authorization">;

/** What one side did in all of its turns with one way. */
interface Found {
  /** Tasks a second. */
  readonly rates: number[];
  /** Microseconds of processor time a task: of the main thread, the server's other threads, its child processes, and all. */
  readonly cpu: { readonly main: number; readonly threads: number; readonly workers: number; readonly all: number }[];
  /** Milliseconds to the first token, by the number of connections; one figure a turn. */
  readonly firsts: ReadonlyMap<number, number[]>;
}

const SIDES = ["direct", "theirs", "ours"] as const;
type Side = (typeof SIDES)[number];
type Figures = Readonly<Record<Way, Readonly<Record<Side, Found>>>>;

export async function streamed({ quick, checkout, pairs, profile }: Extent): Promise<Section> {
  const figures = Object.fromEntries(
    ALL_WAYS.map((way) => [way, { direct: nothing(), theirs: nothing(), ours: nothing() }]),
  ) as Record<Way, Record<Side, Found>>;
  const wanted = pairs ?? (quick ? PAIRS.quick : PAIRS.whole);
  const program = checkout === undefined ? null : join(resolve(checkout), "bin", "alt-las.js");
  for (let left = wanted; left > 0; left -= TURNS_A_START) {
    const timed = Math.ceil((quick ? TIMED.quick : TIMED.whole) / Math.ceil(wanted / TURNS_A_START));
    await measure(figures, {
      program,
      profile,
      timed,
      pairs: Math.min(left, TURNS_A_START),
      warmUp: quick ? WARM_UP.quick : WARM_UP.whole,
    });
  }
  const beside =
    checkout === undefined ? "" : ` Ratios are to ${checkout}, in turns of ${SECONDS} s; ± is the interval of 95 %.`;
  return {
    name: "streamed",
    about:
      `Streamed tasks of one token through an openai engine at ${CONNECTIONS} connections, asked by /api/v1/predict and by /v1/chat/completions; the server behind it generates ` +
      "at no cost, and is asked directly, too. µs: processor time a task, of the main thread, the other threads (the store's, …) and the workers. Added: milliseconds until half of " +
      `the tasks have their first token, beyond those of the server behind it, at ${[...ADDED.keys()].join(", ")} connections.${beside}`,
    rows: ALL_WAYS.map((way) => rowOf(way, figures[way], program !== null)),
    bars: ALL_WAYS.flatMap((way) => barsOf(way, figures[way])),
  };
}

function nothing(): Found {
  return { rates: [], cpu: [], firsts: new Map(ADDED.keys().map((connections) => [connections, []])) };
}

interface Measuring {
  /** Of another checkout; null: there is none. */
  readonly program: string | null;
  readonly profile: boolean;
  readonly pairs: number;
  readonly timed: number;
  readonly warmUp: number;
}

/** Starts all sides and adds their turns. */
async function measure(figures: Figures, { program, profile, pairs, timed, warmUp }: Measuring): Promise<void> {
  await using started = new AsyncDisposableStack();
  const upstream = started.adopt(startChild("upstream.ts", process.env), (child) => child.stop());
  const direct = { host: "127.0.0.1", port: await upstream.ask<number>({}), authorization: "" };
  const options = {
    devices: "auto",
    config: {
      engine: { kind: "openai", url: `http://127.0.0.1:${direct.port}` },
      gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: SLOTS } },
    },
  };
  const open = async (one: string | undefined, isProfiled: boolean): Promise<BenchServer> =>
    started.adopt(
      await startServer({ ...options, ...(one !== undefined && { program: one }), profile: isProfiled }),
      (server) => server.stop(),
    );
  const theirs = program === null ? null : await open(program, false);
  const ours = await open(undefined, profile);
  const servers: [Side, BenchServer][] =
    theirs === null
      ? [["ours", ours]]
      : [
          ["theirs", theirs],
          ["ours", ours],
        ];
  const ways = { direct: ALL_WAYS, theirs: theirs === null ? [] : await waysOf(theirs), ours: ALL_WAYS };
  // By turns as well: V8 gives up much of what it has compiled while a server has nothing to do.
  for (let done = 0; done < warmUp;)
    for (const [side, server] of servers)
      for (const way of ways[side])
        done += (await ask(server, way, CONNECTIONS, SECONDS)).accepted / servers.length / ways[side].length;
  for (let turn = 0; turn < pairs; turn++) {
    // Neither is always the first one.
    for (const [side, server] of turn % 2 === 0 ? servers : servers.toReversed())
      for (const way of ways[side]) await priced(server, way, figures[way][side]);
  }
  const all: [Side, Target][] = [["direct", direct], ...servers];
  for (let turn = 0; turn < timed; turn++)
    for (const connections of ADDED.keys())
      for (const [side, target] of turn % 2 === 0 ? all : all.toReversed())
        for (const way of ways[side])
          figures[way][side].firsts.get(connections)!.push((await ask(target, way, connections)).first);
}

/** Those that a server has: an early commit has no chat. */
async function waysOf(server: BenchServer): Promise<Way[]> {
  const headers = { authorization: server.authorization, "content-type": "application/json" };
  const has = async (way: Way): Promise<boolean> => {
    const { path, body } = WAYS[way];
    const url = `http://${server.host}:${server.port}${path}`;
    const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
    await answer.arrayBuffer();
    return answer.status !== 404;
  };
  const found = await Promise.all(ALL_WAYS.map(async (way) => ({ way, isThere: await has(way) })));
  return found.filter(({ isThere }) => isThere).map(({ way }) => way);
}

async function priced(server: BenchServer, way: Way, { rates, cpu }: Found): Promise<void> {
  const before = cpuTimeOf(server.pid);
  const { accepted, seconds } = await ask(server, way, CONNECTIONS);
  const used = cpuBetween(before, cpuTimeOf(server.pid));
  rates.push(accepted / seconds);
  if (used === null) return;
  const [main, threads, workers] = [used.main, used.threads, used.workers].map((time) => (time / accepted) * 1e6);
  cpu.push({ main: main!, threads: threads!, workers: workers!, all: main! + threads! + workers! });
}

async function ask(target: Target, way: Way, connections: number, seconds = SECONDS) {
  const { path, body } = target.authorization === "" ? WAYS[way].direct : WAYS[way];
  const request = requestTo(target, path, JSON.stringify(body));
  const found = await load({ ...target, connections, seconds, request, token: TOKEN });
  if (found.firstError !== "") throw new Error(`a task failed: ${found.firstError}`);
  return found;
}

function rowOf(way: Way, { direct, theirs, ours }: Figures[Way], isBeside: boolean): Row {
  const isCompared = isBeside && theirs.rates.length > 0;
  const price = (of: (one: Found["cpu"][number]) => number): number => Math.round(median(ours.cpu.map(of)));
  return {
    way,
    "tasks/s": Math.round(median(ours.rates)),
    ...(isBeside && {
      ratio: isCompared ? shown(centreOf(ours.rates.map((rate, turn) => rate / theirs.rates[turn]!))) : "",
    }),
    µs: price(({ all }) => all),
    ...(isBeside && { "µs, ratio": isCompared ? shown(cpuRatio(ours, theirs)) : "" }),
    "main µs": price(({ main }) => main),
    "threads µs": price(({ threads }) => threads),
    "workers µs": price(({ workers }) => workers),
    "added ms": [...ADDED.keys()].map((count) => rounded(added(ours, direct, count), 1)).join(" / "),
    ...(isBeside && {
      "theirs added ms": isCompared
        ? [...ADDED.keys()].map((count) => rounded(added(theirs, direct, count), 1)).join(" / ")
        : "",
    }),
  };
}

function cpuRatio(ours: Found, theirs: Found): Centre {
  return centreOf(ours.cpu.map(({ all }, turn) => all / theirs.cpu[turn]!.all));
}

/** Milliseconds. */
function added({ firsts }: Found, direct: Found, connections: number): number {
  return median(firsts.get(connections)!) - median(direct.firsts.get(connections)!);
}

function barsOf(way: Way, { direct, theirs, ours }: Figures[Way]): Bar[] {
  const ratio = theirs.cpu.length === 0 ? null : cpuRatio(ours, theirs);
  const price: Bar[] =
    ratio === null
      ? []
      : [
          {
            what: `processor time of a task, ratio: ${way}`,
            measured: ratio.value,
            margin: ratio.margin,
            atMost: MOST,
          },
        ];
  const firsts = [...ADDED].map(([count, atMost]) => ({
    what: `added ms to the first token at ${count} connections: ${way}`,
    measured: added(ours, direct, count),
    atMost,
  }));
  return [...price, ...firsts];
}

function shown({ value, margin }: Centre): string {
  return `${value.toFixed(3)} ± ${margin.toFixed(3)}`;
}
