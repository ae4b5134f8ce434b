/** What the server costs: an engine behind HTTP, scheduler, store and worker process against the same engine called directly. */
import { type EngineOptions } from "../src/engine/engine.ts";
import { DEMO_MODEL } from "../src/gpu/devices.ts";
import {
  type Done,
  firstTexts,
  type Generate,
  type Arrivals,
  newcomers,
  startDirect,
  throughput,
  type Work,
} from "./generation.ts";
import { ownCpuOf } from "./cpu-time.ts";
import { findLlamaServer, startLlamaServer } from "./llama-server.ts";
import { randomModel } from "./random-model.ts";
import { type Bar, type Extent, median, type Row, rounded, type Section } from "./report.ts";
import { startServer } from "./server.ts";
import { through, throughLlamaServer } from "./streaming-client.ts";

const CONCURRENT = [1, 4, 8];
const SLOTS = 8;
const CONTEXT = 1024;
const THREADS = 1;
/** Newcomers that one side has before it is the next one's turn. */
const GROUP = 7;
/** What is asked for now and then only would be measured as code that has not been compiled yet. */
const WARM_UP = { tasks: 200, concurrent: SLOTS, maxLength: 1 };
/** The shares of the throughput, and the milliseconds more to the first text, with which the server is almost invisible. */
const BARS = { embedded: 0.97, "llama-server": 0.98, first: 2 };

interface Model {
  readonly name: string;
  readonly path: string;
  /** Tokens of each task. */
  readonly maxLength: number;
  /** Tokens of the tasks beside which a newcomer comes. */
  readonly neighbourLength: number;
  /** Comparisons for each number of concurrent tasks; five times as many for a task alone, which is soon over. */
  readonly cycles: number;
  /** Groups of newcomers: an odd number. */
  readonly groups: number;
}

type Kind = "embedded" | "llama-server";

/** One way to the tokens. */
interface Side {
  readonly kind: Kind;
  readonly through: "itself" | "server";
  /** Of the engine's process, or of the server's, without its workers. */
  readonly pid: number;
  throughput(work: Work): Promise<Done>;
  firstTexts(arrivals: Arrivals): Promise<number[]>;
  stop(): Promise<void>;
}

/** What was measured of one side with so many tasks. */
interface Figures extends Pick<Side, "kind" | "through"> {
  readonly model: string;
  readonly tasks: number;
  /** Tokens a second, one figure a cycle. */
  readonly rates: number[];
  /** Microseconds of processor time of the side's process for each token, one figure a cycle; NaN: this system does not tell. */
  readonly cpu: number[];
  /** Milliseconds to a newcomer's first text. */
  readonly firsts: number[];
}

export async function engine({ quick, profile }: Extent): Promise<Section[]> {
  const models: Model[] = [
    {
      name: "random 100M",
      path: randomModel(),
      maxLength: quick ? 64 : 128,
      neighbourLength: 48,
      cycles: quick ? 2 : 9,
      groups: quick ? 3 : 9,
    },
    {
      name: "demo",
      path: DEMO_MODEL,
      maxLength: 128,
      neighbourLength: 100,
      cycles: quick ? 3 : 15,
      groups: quick ? 3 : 9,
    },
  ];
  const binary = await findLlamaServer();
  const figures: Figures[] = [];
  for (const model of models) figures.push(...(await measure(model, binary, profile)));
  const embedded = embeddedSection(figures);
  if (binary === null) return [embedded, absent()];
  return [embedded, llamaServerSection(figures), enginesSection(figures)];
}

async function measure(model: Model, binary: string | null, profile: boolean): Promise<Figures[]> {
  const sides: Side[] = [];
  try {
    for (const open of opening(model, binary, profile)) sides.push(await open());
    for (const side of sides) await side.throughput(WARM_UP);
    const figures: Figures[] = [];
    for (const tasks of CONCURRENT) figures.push(...(await measureAt(tasks, model, sides)));
    return figures;
  } finally {
    for (const side of sides) await side.stop();
  }
}

/** Every side in every cycle, and another one first each time, because what else the machine does drifts. */
async function measureAt(tasks: number, model: Model, sides: readonly Side[]): Promise<Figures[]> {
  const figures = sides.map(({ kind, through: way }) => ({
    kind,
    through: way,
    model: model.name,
    tasks,
    rates: [] as number[],
    cpu: [] as number[],
    firsts: [] as number[],
  }));
  const inTurns = async (count: number, of: (side: Side, found: Figures, turn: number) => Promise<void>) => {
    for (let turn = 0; turn < count; turn++) {
      for (let i = 0; i < sides.length; i++) {
        const index = (turn + i) % sides.length;
        await of(sides[index]!, figures[index]!, turn);
      }
    }
  };
  const work = { tasks, concurrent: tasks, maxLength: model.maxLength };
  await inTurns(1, async (side) => void (await side.throughput({ ...work, maxLength: 16 })));
  await inTurns(tasks === 1 ? 5 * model.cycles : model.cycles, async (side, { rates, cpu }) => {
    const before = ownCpuOf(side.pid);
    const { tokens, seconds } = await side.throughput(work);
    rates.push(tokens / seconds);
    cpu.push(((ownCpuOf(side.pid) - before) / tokens) * 1e6);
  });
  const coming = newcomers(GROUP * model.groups);
  await inTurns(model.groups, async (side, { firsts }, turn) => {
    const group = coming.slice(turn * GROUP, (turn + 1) * GROUP);
    const { neighbourLength } = model;
    firsts.push(...(await side.firstTexts({ neighbours: tasks - 1, neighbourLength, newcomers: group })));
  });
  return figures;
}

/** The sides that can be compared here, not started yet. */
function opening(model: Model, binary: string | null, profile: boolean): (() => Promise<Side>)[] {
  const embedded = [() => directSide(optionsFor(model)), () => serverSide("embedded", model, {}, profile)];
  if (binary === null) return embedded;
  const llamaServer = { kind: "llama-server", binary } as const;
  return [
    ...embedded,
    () => llamaServerSide({ ...optionsFor(model), ...llamaServer }),
    () => serverSide("llama-server", model, llamaServer, profile),
  ];
}

async function directSide(options: EngineOptions): Promise<Side> {
  const direct = await startDirect(options);
  return { kind: "embedded", through: "itself", ...direct };
}

async function serverSide(kind: Kind, model: Model, settings: object, profile: boolean): Promise<Side> {
  const config = { engine: { model: model.path, context: CONTEXT, threads: THREADS, ...settings } };
  const server = await startServer({ devices: "cpu:1", config, profile });
  return {
    kind,
    through: "server",
    pid: server.pid,
    ...measuredWith(through(server, kind === "llama-server")),
    stop: () => server.stop(),
  };
}

async function llamaServerSide(options: EngineOptions): Promise<Side> {
  const server = await startLlamaServer(options);
  return { kind: "llama-server", through: "itself", ...server, ...measuredWith(throughLlamaServer(server)) };
}

function measuredWith(generate: Generate): Pick<Side, "throughput" | "firstTexts"> {
  return {
    throughput: (work) => throughput(generate, work),
    firstTexts: (arrivals) => firstTexts(generate, arrivals),
  };
}

function embeddedSection(figures: readonly Figures[]): Section {
  return {
    name: "engine: embedded",
    about:
      `One CPU device (${THREADS} thread, ${SLOTS} slots): tasks that are streamed from POST /api/v1/predict, against the same engine called ` +
      `in a process of its own, in turns. ${HOW}`,
    ...comparison("embedded", figures),
  };
}

function llamaServerSection(figures: readonly Figures[]): Section {
  return {
    name: "engine: llama-server",
    about:
      "The same through this server to a llama-server that its worker has started, against a llama-server with the same arguments, " +
      `streaming from its /completion to the same client. ${HOW} Worker, server, client and llama-server share the cores.`,
    ...comparison("llama-server", figures),
  };
}

const HOW =
  "Ratio: the median of the comparisons. First: median milliseconds until a task has its first text, while the other tasks generate; " +
  "newcomers come at moments spread evenly over a step. CPU: processor time of the server's process, without its workers, for each token.";

function absent(): Section {
  const about =
    "Left out: there is no llama-server here. ALT_LAS_LLAMA_SERVER can name the program; else it is looked for on PATH.";
  return { name: "engine: llama-server", about, rows: [], bars: [] };
}

/** Through the server and without it. */
function comparison(kind: Kind, all: readonly Figures[]): Pick<Section, "rows" | "bars"> {
  const pairs = pairsOf(
    all.filter((figures) => figures.kind === kind && figures.through === "itself"),
    all.filter((figures) => figures.kind === kind && figures.through === "server"),
  );
  const rows = pairs.map(({ model, tasks, one, other }) => ({
    model,
    tasks,
    "direct tokens/s": Math.round(median(one.rates)),
    "server tokens/s": Math.round(median(other.rates)),
    ratio: ratioOf(other, one),
    "direct first ms": rounded(median(one.firsts), 1),
    "server first ms": rounded(median(other.firsts), 1),
    "added ms": rounded(median(other.firsts) - median(one.firsts), 1),
    "server CPU µs": Math.round(median(other.cpu)),
  }));
  // The demo model shows what the overhead is; a step of it is shorter than a token of any model that is of use.
  return { rows, bars: rows.filter(({ model }) => model !== "demo").flatMap((row) => barsOf(kind, row)) };
}

function barsOf(kind: Kind, row: { model: string; tasks: number; ratio: number; "added ms": number }): Bar[] {
  const what = `${kind}, ${row.model} model, ${row.tasks} at once`;
  const bars: Bar[] = [
    { what: `throughput through the server, of direct: ${what}`, measured: row.ratio, atLeast: BARS[kind] },
  ];
  if (row.tasks === SLOTS)
    bars.push({ what: `added ms to the first text: ${what}`, measured: row["added ms"], atMost: BARS.first });
  return bars;
}

function enginesSection(all: readonly Figures[]): Section {
  const direct = all.filter((figures) => figures.through === "itself");
  const pairs = pairsOf(
    direct.filter(({ kind }) => kind === "llama-server"),
    direct.filter(({ kind }) => kind === "embedded"),
  );
  return {
    name: "engine: embedded and llama-server",
    about:
      `The two engines without this server, on the same models, ${THREADS} thread each, from the measurements above. CPU: processor time of ` +
      "the engine's process for each token. Both compute with kernels for this very processor. The rest is JavaScript: the embedded engine " +
      "goes back to its event loop between two steps, twice, and finds the caches as the model has left them. That is some 0.3 to 0.5 ms " +
      "a step of a model that does not fit into the caches, however many tasks share it, so that it is seen most where one task is alone.",
    rows: pairs.map(({ model, tasks, one, other }): Row => ({
      model,
      tasks,
      "llama-server tokens/s": Math.round(median(one.rates)),
      "embedded tokens/s": Math.round(median(other.rates)),
      ratio: ratioOf(other, one),
      "llama-server CPU µs": Math.round(median(one.cpu)),
      "embedded CPU µs": Math.round(median(other.cpu)),
      "llama-server first ms": rounded(median(one.firsts), 1),
      "embedded first ms": rounded(median(other.firsts), 1),
    })),
    bars: [],
  };
}

function pairsOf(ones: readonly Figures[], others: readonly Figures[]) {
  return ones.map((one) => {
    const { model, tasks } = one;
    return { model, tasks, one, other: others.find((other) => other.model === model && other.tasks === tasks)! };
  });
}

/** Of figures that were measured in turns. */
function ratioOf(other: Figures, one: Figures): number {
  return rounded(median(other.rates.map((rate, cycle) => rate / one.rates[cycle]!)), 3);
}

/** What the server's worker is given for one CPU device. */
function optionsFor({ path }: Model): EngineOptions {
  return {
    kind: "llama",
    model: path,
    context: CONTEXT,
    minContext: CONTEXT,
    slots: SLOTS,
    backend: false,
    tuning: { threads: THREADS, cores: 1, prefillChunk: 256, batchSize: null, flashAttention: null, kvCacheType: null },
    binary: "llama-server",
    upstream: null,
    patience: { firstByte: 120, token: 30 },
    memoryBudget: null,
    memoryShare: 1,
    measuredOverhead: null,
    simulated: { tokens_per_second: 0, load_seconds: 0, context: CONTEXT, memory_bytes: 0, failures: [] },
  };
}
