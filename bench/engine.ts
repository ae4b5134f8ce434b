/** What the server costs: an engine behind HTTP, scheduler, store and worker process against the same engine called directly. */
import { type EngineOptions } from "../src/engine/engine.ts";
import { DEMO_MODEL } from "../src/gpu/devices.ts";
import { ownCpuOf } from "./cpu-time.ts";
import { cpuOptions } from "./engine-options.ts";
import {
  type Arrivals,
  type Done,
  type FirstTexts,
  firstTexts,
  type Generate,
  newcomers,
  startDirect,
  throughput,
  type Work,
} from "./generation.ts";
import { findLlamaServer, startLlamaServer } from "./llama-server.ts";
import { randomModel } from "./random-model.ts";
import { type Bar, type Extent, median, type Row, rounded, type Section } from "./report.ts";
import { startServer } from "./server.ts";
import { through, throughLlamaServer } from "./streaming-client.ts";

const SLOTS = 8;
const CONTEXT = 1024;
const THREADS = 1;
const SHAPE = { slots: SLOTS, context: CONTEXT };
/** Newcomers that one side has before it is the next one's turn. */
const GROUP = 5;
/** What is asked for now and then only would be measured as code that has not been compiled yet. */
const WARM_UP = { tasks: 120, concurrent: SLOTS, maxLength: 1 };
/** The shares of the throughput with which the server is almost invisible. */
const THROUGHPUT = { embedded: 0.97, "llama-server": 0.98 };
/** Milliseconds more to the first text beside a full GPU; fifteen newcomers tell it to a few milliseconds only. */
const FIRST = { full: 2, quick: 5 };

/** In the place of what was not measured. */
const NONE = "–";

interface Model {
  readonly name: string;
  readonly path: string;
  /** Tokens of the tasks beside which newcomers come. */
  readonly neighbourLength: number;
  readonly loads: readonly Load[];
}

interface Load {
  /** At once. */
  readonly tasks: number;
  /** Tokens of each. */
  readonly maxLength: number;
  /** Comparisons of the throughput. */
  readonly cycles: number;
  /** Groups of newcomers: an odd number, or none. */
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
  firstTexts(arrivals: Arrivals): Promise<FirstTexts>;
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
  /** Milliseconds to the first text of each newcomer; all sides have the same newcomers at the same moments of a step. */
  readonly firsts: (number | null)[];
}

export async function engine({ quick, profile }: Extent): Promise<Section[]> {
  const models = modelsFor(quick);
  const binary = await findLlamaServer();
  const figures: Figures[] = [];
  for (const model of models) figures.push(...(await measure(model, binary, profile)));
  const embedded = embeddedSection(figures, quick);
  if (binary === null) return [embedded, absent()];
  return [embedded, llamaServerSection(figures, quick), enginesSection(figures)];
}

function modelsFor(quick: boolean): Model[] {
  const random = quick
    ? [
        { tasks: 1, maxLength: 128, cycles: 5, groups: 0 },
        { tasks: 4, maxLength: 64, cycles: 2, groups: 0 },
        { tasks: 8, maxLength: 64, cycles: 3, groups: 3 },
      ]
    : [
        { tasks: 1, maxLength: 128, cycles: 45, groups: 9 },
        { tasks: 4, maxLength: 128, cycles: 7, groups: 5 },
        { tasks: 8, maxLength: 128, cycles: 15, groups: 25 },
      ];
  const demo = [1, 4, 8].map((tasks) => ({ tasks, maxLength: 128, cycles: quick ? 3 : 25, groups: quick ? 1 : 9 }));
  return [
    { name: "random 100M", path: randomModel(), neighbourLength: 80, loads: random },
    { name: "demo", path: DEMO_MODEL, neighbourLength: 100, loads: demo },
  ];
}

async function measure(model: Model, binary: string | null, profile: boolean): Promise<Figures[]> {
  const sides: Side[] = [];
  try {
    for (const open of opening(model, binary, profile)) sides.push(await open());
    for (const side of sides) await side.throughput(WARM_UP);
    const figures: Figures[] = [];
    for (const load of model.loads) figures.push(...(await measureAt(load, model, sides)));
    return figures;
  } finally {
    for (const side of sides) await side.stop();
  }
}

/** Every side in every cycle, and another one first each time, because what else the machine does drifts. */
async function measureAt(load: Load, model: Model, sides: readonly Side[]): Promise<Figures[]> {
  const { tasks, maxLength, cycles, groups } = load;
  const figures = sides.map(({ kind, through: way }) => ({
    kind,
    through: way,
    model: model.name,
    tasks,
    rates: [] as number[],
    cpu: [] as number[],
    firsts: [] as (number | null)[],
  }));
  const inTurns = async (count: number, of: (side: Side, found: Figures, turn: number) => Promise<void>) => {
    for (let turn = 0; turn < count; turn++) {
      for (let i = 0; i < sides.length; i++) {
        const index = (turn + i) % sides.length;
        await of(sides[index]!, figures[index]!, turn);
      }
    }
  };
  const work = { tasks, concurrent: tasks, maxLength };
  await inTurns(1, async (side) => void (await side.throughput({ ...work, maxLength: 16 })));
  await inTurns(cycles, async (side, { rates, cpu }) => {
    const before = ownCpuOf(side.pid);
    const { tokens, seconds } = await side.throughput(work);
    rates.push(tokens / seconds);
    cpu.push(((ownCpuOf(side.pid) - before) / tokens) * 1e6);
  });
  const coming = newcomers(GROUP * groups);
  await inTurns(groups, async (side, { firsts }, turn) => {
    const group = coming.slice(turn * GROUP, (turn + 1) * GROUP);
    const { neighbourLength } = model;
    firsts.push(...(await side.firstTexts({ neighbours: tasks - 1, neighbourLength, newcomers: group })));
  });
  return figures;
}

/** The sides that can be compared here, not started yet. */
function opening(model: Model, binary: string | null, profile: boolean): (() => Promise<Side>)[] {
  const embedded = [() => directSide(cpuOptions(model.path, SHAPE)), () => serverSide("embedded", model, {}, profile)];
  if (binary === null) return embedded;
  const llamaServer = { kind: "llama-server", binary } as const;
  return [
    ...embedded,
    () => llamaServerSide({ ...cpuOptions(model.path, SHAPE), ...llamaServer }),
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

function embeddedSection(figures: readonly Figures[], quick: boolean): Section {
  return {
    name: "engine: embedded",
    about:
      `One CPU device (${THREADS} thread, ${SLOTS} slots): POST /api/v1/predict, against the same engine called in a process of its own, in ` +
      `turns. The ends of the tasks are waited for; newcomers are streamed. ${HOW}`,
    ...comparison("embedded", figures, quick),
  };
}

function llamaServerSection(figures: readonly Figures[], quick: boolean): Section {
  return {
    name: "engine: llama-server",
    about:
      "The same through this server to a llama-server that its worker has started, against a llama-server with the same arguments that the " +
      `same client asks at /completion; all is streamed. ${HOW} Worker, server, client and llama-server share the cores.`,
    ...comparison("llama-server", figures, quick),
  };
}

const HOW =
  "Ratio: the median of the comparisons. First: median milliseconds until a task has its first text, while the other tasks generate; " +
  "newcomers come at moments spread evenly over a step. Added: the median of what each of them waits longer. CPU: processor time of the " +
  "server's process, without its workers, for each token.";

function absent(): Section {
  const about =
    "Left out: there is no llama-server here. ALT_LAS_LLAMA_SERVER can name the program; else it is looked for on PATH.";
  return { name: "engine: llama-server", about, rows: [], bars: [] };
}

/** Through the server and without it. */
function comparison(kind: Kind, all: readonly Figures[], quick: boolean): Pick<Section, "rows" | "bars"> {
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
    "direct first ms": firstOf(one),
    "server first ms": firstOf(other),
    "added ms": addedBy(other, one),
    "server CPU µs": Math.round(median(other.cpu)),
  }));
  // The demo model shows what the overhead is: a step of it is shorter than a token of any model that is of use.
  const bars = rows.filter(({ model }) => model !== "demo").flatMap((row) => barsOf(kind, row, quick));
  return { rows, bars };
}

interface Compared {
  readonly model: string;
  readonly tasks: number;
  readonly ratio: number;
  readonly "added ms": number | string;
}

function barsOf(kind: Kind, { model, tasks, ratio, "added ms": added }: Compared, quick: boolean): Bar[] {
  const what = `${kind}, ${model} model, ${tasks} at once`;
  const atLeast = THROUGHPUT[kind];
  const throughputBar = { what: `throughput through the server, of direct: ${what}`, measured: ratio, atLeast };
  if (tasks < SLOTS || typeof added === "string") return [throughputBar];
  const atMost = quick ? FIRST.quick : FIRST.full;
  return [throughputBar, { what: `added ms to the first text: ${what}`, measured: added, atMost }];
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
      "the engine's process for each token. Both compute with kernels for this very processor. What the embedded one lacks with one task is " +
      "JavaScript: between two steps it goes back to its event loop twice, and finds the caches as the model has left them; that is 0.3 to " +
      "0.5 ms a step, however many tasks share it. With four, llama-server may have slots whose numbers do not follow each other, which " +
      "llama.cpp decodes in several passes. To its first text the embedded engine takes one step more, for the prompt's last token.",
    rows: pairs.map(({ model, tasks, one, other }): Row => ({
      model,
      tasks,
      "llama-server tokens/s": Math.round(median(one.rates)),
      "embedded tokens/s": Math.round(median(other.rates)),
      ratio: ratioOf(other, one),
      "llama-server CPU µs": Math.round(median(one.cpu)),
      "embedded CPU µs": Math.round(median(other.cpu)),
      "llama-server first ms": firstOf(one),
      "embedded first ms": firstOf(other),
    })),
    bars: [],
  };
}

function firstOf({ firsts }: Figures): number | string {
  const times = firsts.filter((time) => time !== null);
  return times.length === 0 ? NONE : rounded(median(times), 1);
}

/** Of each newcomer by itself: a difference of medians would tell above all how the steps fell. */
function addedBy(other: Figures, one: Figures): number | string {
  const added = one.firsts.flatMap((time, index) => {
    const later = other.firsts[index] ?? null;
    return time === null || later === null ? [] : [later - time];
  });
  return added.length === 0 ? NONE : rounded(median(added), 1);
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
