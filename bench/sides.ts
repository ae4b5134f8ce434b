/**
 * Ways to the same engine, measured in turns: called directly in a process of its own, and through the server. What they are is with
 * who compares them.
 */
import { type EngineOptions } from "../src/engine/engine.ts";
import { DEMO_MODEL } from "../src/gpu/inventory/devices.ts";
import { ownCpuOf } from "./cpu-time.ts";
import {
  type Arrivals,
  type Done,
  type FirstTexts,
  firstTexts,
  type Generate,
  newcomers,
  throughput,
  type Work,
} from "./generation.ts";
import { randomModel } from "./random-model.ts";
import { type Bar, type Centre, centreOf, type Extent, median, type Row, rounded, type Section } from "./report.ts";
import { type BenchServer, startServer } from "./server.ts";

export const CONTEXT = 1024;
/** Newcomers that one side has before it is the next one's turn. */
const GROUP = 5;
/** What is asked for now and then only would be measured as code that has not been compiled yet. */
export const WARM_UP = { full: 120, quick: 48 };
/** Tokens of the texts that each side generates first with another number of tasks. */
const FIRST_LENGTH = 16;
/** The shares of the throughput with which the server is almost invisible. */
const THROUGHPUT = { embedded: 0.97, "llama-server": 0.98, chat: 0.97 };
/** Milliseconds more to the first text beside a full GPU; fifteen newcomers tell it to a few milliseconds only. */
const FIRST = { full: 2, quick: 5 };
/** The margin to which a ratio of throughputs is to be known. */
const PRECISION = 0.01;
/** Comparisons of the throughput at least, however long they take. */
const FEWEST = 3;

const DEMO = "demo";
/** In the place of what was not measured. */
const NONE = "–";

/** What all engines compute on. */
export interface Place {
  /** As the benchmark's name and the sections' have it. */
  readonly name: string;
  /** For people, as the beginning of a sentence. */
  readonly what: string;
  readonly devices: string;
  readonly backend: EngineOptions["backend"];
  /** Of the server's `engine` configuration. */
  readonly engine: object;
}

export interface Model {
  readonly name: string;
  readonly path: string;
  readonly slots: number;
  /** Tokens of the tasks beside which newcomers come. */
  readonly neighbourLength: number;
  readonly loads: readonly Load[];
  /** Seconds that the tasks of one load may take; their texts are shorter where they would take longer. */
  readonly longest: number;
  /** Texts of one token with which each side is warmed up. */
  readonly warmUp: number;
  /** Seconds at most that the throughput of one load is compared, unless there are fewer than `FEWEST` comparisons by then. */
  readonly patience: number;
  /** Seconds after which no further group of newcomers comes. */
  readonly newcomerPatience: number;
}

export interface Load {
  /** At once. */
  readonly tasks: number;
  /** Tokens of each, at most. */
  readonly maxLength: number;
  /** Groups of newcomers at most: an odd number, or none. */
  readonly groups: number;
}

export type Kind = "embedded" | "llama-server" | "chat";

/** One way to the tokens. */
export interface Side {
  readonly kind: Kind;
  readonly through: "itself" | "server";
  /** Of the engine's process, or of the server's, without its workers. */
  readonly pid: number;
  throughput(work: Work): Promise<Done>;
  firstTexts(arrivals: Arrivals): Promise<FirstTexts>;
  stop(): Promise<void>;
}

/** What was measured of one side with so many tasks. */
export interface Figures extends Pick<Side, "kind" | "through"> {
  readonly model: string;
  readonly tasks: number;
  /** Whether they take all slots. */
  readonly isFull: boolean;
  /** Tokens a second, one figure a cycle. */
  readonly rates: number[];
  /** Microseconds of processor time of the side's process for each token, one figure a cycle; NaN: this system does not tell. */
  readonly cpu: number[];
  /** Milliseconds to the first text of each newcomer; all sides have the same newcomers at the same moments of a step. */
  readonly firsts: (number | null)[];
}

export const CPU: Place = {
  name: "engine",
  what: "One CPU device (1 thread, 8 slots)",
  devices: "cpu:1",
  backend: false,
  engine: { threads: 1 },
};

/** In a hurry it ends within two minutes, also where a step of the random model takes three times as long as usual. */
export function cpuModels({ quick }: Extent): Model[] {
  const random = quick
    ? [
        { tasks: 1, maxLength: 128, groups: 0 },
        { tasks: 8, maxLength: 128, groups: 1 },
      ]
    : [
        { tasks: 1, maxLength: 128, groups: 9 },
        { tasks: 4, maxLength: 128, groups: 5 },
        { tasks: 8, maxLength: 128, groups: 25 },
      ];
  const demo = [1, 4, 8].map((tasks) => ({ tasks, maxLength: 128, groups: quick ? 1 : 9 }));
  const shared = {
    slots: 8,
    longest: quick ? 0.6 : Infinity,
    warmUp: quick ? WARM_UP.quick : WARM_UP.full,
    newcomerPatience: quick ? 8 : 600,
  };
  return [
    {
      ...shared,
      name: "random 100M",
      path: randomModel(),
      neighbourLength: quick ? 40 : 80,
      loads: random,
      patience: quick ? 2 : 300,
    },
    { ...shared, name: DEMO, path: DEMO_MODEL, neighbourLength: 100, loads: demo, patience: quick ? 1 : 30 },
  ];
}

/** @param opening starts a pair of sides each */
export async function measure(model: Model, opening: readonly (() => Promise<Side[]>)[]): Promise<Figures[]> {
  const sides: Side[] = [];
  try {
    for (const open of opening) sides.push(...(await open()));
    for (const side of sides) await side.throughput({ tasks: model.warmUp, concurrent: model.slots, maxLength: 1 });
    const figures: Figures[] = [];
    for (const load of model.loads) figures.push(...(await measureAt(load, model, sides)));
    return figures;
  } finally {
    for (const side of sides) await side.stop();
  }
}

/**
 * The sides come one right after the other, and another one first each time, because what else the machine does drifts: of two
 * generations a few seconds apart, of the same server, one may take a tenth longer.
 */
async function measureAt(load: Load, model: Model, sides: readonly Side[]): Promise<Figures[]> {
  const { tasks, maxLength, groups } = load;
  const figures = sides.map(({ kind, through: way }) => ({
    kind,
    through: way,
    model: model.name,
    isFull: tasks === model.slots,
    tasks,
    rates: [] as number[],
    cpu: [] as number[],
    firsts: [] as (number | null)[],
  }));
  const oneTurn = async (turn: number, of: (side: Side, found: Figures) => Promise<void>) => {
    for (const index of orderOf(turn, sides.length)) await of(sides[index]!, figures[index]!);
  };
  const first = { tasks, concurrent: tasks, maxLength: FIRST_LENGTH };
  let slowest = Infinity;
  await oneTurn(0, async (side) => {
    const { tokens, seconds } = await side.throughput(first);
    slowest = Math.min(slowest, tokens / tasks / seconds);
  });
  const work = {
    ...first,
    maxLength: Math.min(maxLength, Math.max(FIRST_LENGTH, Math.round(slowest * model.longest))),
  };
  const end = performance.now() + model.patience * 1000;
  for (let cycle = 0; cycle < FEWEST || (performance.now() < end && !areKnown(figures)); cycle++) {
    await oneTurn(cycle, async (side, { rates, cpu }) => {
      const before = ownCpuOf(side.pid);
      const { tokens, seconds } = await side.throughput(work);
      rates.push(tokens / seconds);
      cpu.push(((ownCpuOf(side.pid) - before) / tokens) * 1e6);
    });
  }
  const coming = newcomers(GROUP * groups);
  const last = performance.now() + model.newcomerPatience * 1000;
  for (let turn = 0; turn < groups && (turn === 0 || performance.now() < last); turn++) {
    const group = coming.slice(turn * GROUP, (turn + 1) * GROUP);
    const { neighbourLength } = model;
    await oneTurn(turn, async (side, { firsts }) => {
      firsts.push(...(await side.firstTexts({ neighbours: tasks - 1, neighbourLength, newcomers: group })));
    });
  }
  return figures;
}

/** Sides come in pairs, one without and one with our server: which pair is first, and which of each pair, changes from turn to turn. */
function orderOf(turn: number, sides: number): number[] {
  const pairs = Array.from({ length: sides / 2 }, (_, pair) =>
    turn % 2 === 0 ? [2 * pair, 2 * pair + 1] : [2 * pair + 1, 2 * pair],
  );
  return (turn % 4 < 2 ? pairs : pairs.toReversed()).flat();
}

/** Whether the ratios of what is compared are known well enough. */
function areKnown(figures: readonly Figures[]): boolean {
  const direct = figures.filter(({ through: way }) => way === "itself");
  return direct.every((one) => {
    const ratios = ratiosOf(otherWay(one, figures), one);
    return ratios.length > 2 * FEWEST && centreOf(ratios).margin <= PRECISION;
  });
}

/** The same engine through the server. */
export function otherWay({ kind, model, tasks }: Figures, all: readonly Figures[]): Figures {
  return figuresOf(all, { kind, through: "server", model, tasks });
}

export function figuresOf(
  all: readonly Figures[],
  wanted: Pick<Figures, "kind" | "through" | "model" | "tasks">,
): Figures {
  const keys = ["kind", "through", "model", "tasks"] as const;
  return all.find((figures) => keys.every((key) => figures[key] === wanted[key]))!;
}

export function startFor(model: Model, place: Place, own: object, profile: boolean): Promise<BenchServer> {
  // On a GPU the other sides are others, and the whole card is theirs when it is their turn.
  const gpu = {
    multi_gpu: { max_concurrent_tasks_per_gpu: model.slots, memory_threshold: 1, utilization_threshold: 1 },
  };
  const config = { engine: { model: model.path, context: CONTEXT, ...place.engine, ...own }, gpu };
  return startServer({ devices: place.devices, config, profile });
}

export function measuredWith(generate: Generate): Pick<Side, "throughput" | "firstTexts"> {
  return {
    throughput: (work) => throughput(generate, work),
    firstTexts: (arrivals) => firstTexts(generate, arrivals),
  };
}

export const HOW =
  "Ratio: the middle of the comparisons (Hodges-Lehmann), and ±: by how much it may be off (95 %). First: median milliseconds until a task has its first text, " +
  "while the other tasks generate; newcomers come at moments spread evenly over a step. Added: the middle of what each of them waits longer. " +
  "CPU: processor time of the server's process, without its workers, for each token.";

/** Through the server and without it. */
export function comparison(kind: Kind, all: readonly Figures[], quick: boolean): Pick<Section, "rows" | "bars"> {
  const direct = all.filter((figures) => figures.kind === kind && figures.through === "itself");
  const compared = direct.map((one) => comparedWith(one, otherWay(one, all)));
  // The demo model shows what the overhead is: a step of it is shorter than a token of any model that is of use.
  const bars = compared.filter(({ row }) => row.model !== DEMO).flatMap((one) => barsOf(kind, one, quick));
  return { rows: compared.map(({ row }) => row), bars };
}

interface Compared {
  readonly row: Row;
  readonly tasks: number;
  readonly isFull: boolean;
  readonly ratio: Centre;
  /** Milliseconds that newcomers wait longer; null: there were none. */
  readonly added: Centre | null;
}

function comparedWith(one: Figures, other: Figures): Compared {
  const { model, tasks, isFull } = one;
  const ratios = ratiosOf(other, one);
  const ratio = centreOf(ratios);
  const longer = addedBy(other, one);
  const added = longer.length === 0 ? null : centreOf(longer);
  const row = {
    model,
    tasks,
    "direct tokens/s": Math.round(median(one.rates)),
    "server tokens/s": Math.round(median(other.rates)),
    ...ratioColumns(ratio),
    comparisons: ratios.length,
    "direct first ms": firstOf(one),
    "server first ms": firstOf(other),
    "added ms": added === null ? NONE : `${rounded(added.value, 1)} ± ${rounded(added.margin, 1)}`,
    "server CPU µs": Math.round(median(other.cpu)),
  };
  return { row, tasks, isFull, ratio, added };
}

function barsOf(kind: Kind, { row, tasks, isFull, ratio, added }: Compared, quick: boolean): Bar[] {
  const what = `${kind}, ${row.model} model, ${tasks} at once`;
  const throughputBar = {
    what: `throughput through the server, of direct: ${what}`,
    measured: ratio.value,
    margin: ratio.margin,
    atLeast: THROUGHPUT[kind],
  };
  if (!isFull || added === null) return [throughputBar];
  const firstBar = {
    what: `added ms to the first text: ${what}`,
    measured: added.value,
    margin: added.margin,
    atMost: quick ? FIRST.quick : FIRST.full,
  };
  return [throughputBar, firstBar];
}

export function ratioColumns({ value, margin }: Centre) {
  return { ratio: rounded(value, 3), "±": rounded(margin, 3) };
}

export function firstOf({ firsts }: Figures): number | string {
  const times = firsts.filter((time) => time !== null);
  return times.length === 0 ? NONE : rounded(median(times), 1);
}

/** Of each newcomer by itself: a difference of medians would tell above all how the steps fell. */
function addedBy(other: Figures, one: Figures): number[] {
  return one.firsts.flatMap((time, index) => {
    const later = other.firsts[index] ?? null;
    return time === null || later === null ? [] : [later - time];
  });
}

/** Of figures that were measured in turns. */
export function ratiosOf(other: Figures, one: Figures): number[] {
  return other.rates.map((rate, cycle) => rate / one.rates[cycle]!);
}
