/**
 * Four minutes that say whether this checkout is slower or larger than the commit that was recorded last, by ratios: to be run before each
 * release. Both run at once and take turns, so that noise meets both.
 */
import { execFile } from "node:child_process";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { DEMO_MODEL } from "../src/gpu/inventory/devices.ts";
import { compare } from "./against.ts";
import { startChild } from "./child.ts";
import { llamaOptions } from "./engine-options.ts";
import { startDirect, type Work } from "./generation.ts";
import { type Checkout, lastRecorded } from "./guard/checkout.ts";
import { startOurs, type Target } from "./peers/shelf.ts";
import { treeCpu, treeMemory } from "./peers/running.ts";
import { type Bar, type Centre, centreOf, type Extent, type Row, type Section } from "./report.ts";
import { nodeOf, startServer } from "./server.ts";
import { through } from "./streaming-client.ts";
import { measuredWith } from "./sides.ts";
import { load, requestTo } from "./submit.ts";
import { TOKEN } from "./upstream-words.ts";

const PLANS = {
  quick: { pairs: 2, pairsAStart: 2, warmUp: 0.5, starts: 1, placements: 0, generations: 1 },
  whole: { pairs: 16, pairsAStart: 4, warmUp: 12, starts: 5, placements: 2, generations: 8 },
};
type Plan = (typeof PLANS)["whole"];
/** Seconds of a turn. */
const SECONDS = 0.5;
/** Connections that submit, and that stream. */
const SUBMITTING = 64;
const STREAMING = 32;
const SLOTS = 64;
/** Of the embedded engine: tasks at once, and tokens of each. */
const TASKS = 8;
const LENGTH = 128;
const CONTEXT = 1024;
/** The row of the placements that counts. */
const PLACED = { GPUs: 1000, queued: 100_000 };

/** One figure, of this checkout and of the other one, by turns. */
interface Figure {
  readonly what: string;
  /** This checkout's to the other one's; NaN: this system does not tell. */
  readonly ratios: readonly number[];
  /** How far it may be off before it counts as worse. */
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** What ran, of either checkout; undefined: this one's bin/alt-las.js. */
type Program = string | undefined;

/** @throws {Error} there is nothing to compare with */
export async function guard({ quick, checkout }: Extent): Promise<Section> {
  const plan = quick ? PLANS.quick : PLANS.whole;
  await using started = new AsyncDisposableStack();
  const other: Checkout =
    checkout === undefined ? await lastRecorded(started) : { folder: resolve(checkout), commit: checkout };
  const theirs = join(other.folder, "bin", "alt-las.js");
  const figures = [
    await submitting(theirs, plan),
    ...(await streaming(theirs, plan)),
    ...(await placing(other.folder, plan)),
    ...(await generating(theirs, plan)),
  ];
  return {
    name: "guard",
    about:
      `This checkout's figures as ratios to those of ${other.commit === "." ? "itself" : other.commit}, by turns, both at once: tasks a second at ${SUBMITTING} connections; of streamed tasks of one token through an openai engine the ` +
      `processor time, at ${STREAMING} connections; of that server the start and the memory; one placement among 1,000 GPUs with 100,000 queued; and ${TASKS} tasks of the demo model. ± is the interval of 95 %.`,
    rows: figures.map(rowOf),
    bars: figures.flatMap(barOf),
  };
}

async function submitting(program: string, { pairsAStart: pairs, warmUp, starts }: Plan): Promise<Figure> {
  const found = { connections: SUBMITTING, rates: [], costs: [] };
  for (let start = 0; start < starts; start++) await compare({ program, pairs, warmUp }, [found]);
  return { what: "tasks submitted a second", ratios: found.rates, atLeast: 0.95 };
}

/** Its servers are started and ended several times, which tells of the start and of memory. */
async function streaming(theirs: string, { pairs, warmUp, starts }: Plan): Promise<Figure[]> {
  await using started = new AsyncDisposableStack();
  const upstream = started.adopt(startChild("upstream.ts", process.env), (child) => child.stop());
  const port = await upstream.ask<number>({});
  const begun: { readonly after: number; readonly cpu: number; readonly memory: number }[] = [];
  for (let start = 0; start < starts; start++) {
    const [one, other] = await inTurns(start, [undefined, theirs], async (program: Program) => {
      const server = await startOurs([port], SLOTS, program);
      const memory = treeMemory(server.pid);
      await server.stop();
      return { after: server.readyAfter, cpu: server.startCpu, memory };
    });
    begun.push({ after: one.after / other.after, cpu: one.cpu / other.cpu, memory: one.memory / other.memory });
  }
  const open = async (program: Program): Promise<Target> =>
    started.adopt(await startOurs([port], SLOTS, program), (server) => server.stop());
  const servers = [await open(undefined), await open(theirs)] as const;
  for (const server of servers) await streamedCost(server, warmUp);
  const costs = await compared(pairs, servers, (server) => streamedCost(server, SECONDS));
  return [
    { what: "processor time of a streamed task", ratios: costs, atMost: 1.05 },
    { what: "start to ready", ratios: begun.map(({ after }) => after), atMost: 1.1 },
    { what: "processor time until ready", ratios: begun.map(({ cpu }) => cpu), atMost: 1.1 },
    { what: "resident memory, with one upstream", ratios: begun.map(({ memory }) => memory), atMost: 1.05 },
  ];
}

/** Seconds of processor time a task. */
async function streamedCost(server: Target, seconds: number): Promise<number> {
  const body = JSON.stringify({ text: "Sample input text", max_length: 1, stream: true });
  const request = requestTo(server, "/api/v1/predict", body);
  const before = treeCpu(server.pid);
  const asked = await load({ ...server, connections: STREAMING, seconds, request, token: TOKEN });
  if (asked.firstError !== "") throw new Error(`a streamed task failed: ${asked.firstError}`);
  return (treeCpu(server.pid) - before) / asked.accepted;
}

/** By each checkout's own benchmark, in a process of its own. */
async function placing(folder: string, { placements }: Plan): Promise<Figure[]> {
  const found: { readonly submitted: number; readonly freed: number }[] = [];
  for (let turn = 0; turn < placements; turn++) {
    const [one, other] = await inTurns(turn, [join(import.meta.dirname, ".."), folder], placedIn);
    found.push({ submitted: one.submitted / other.submitted, freed: one.freed / other.freed });
  }
  if (found.length === 0) return [];
  return [
    { what: "placing a task that comes", ratios: found.map(({ submitted }) => submitted), atMost: 1.15 },
    { what: "placing the next one", ratios: found.map(({ freed }) => freed), atMost: 1.15 },
  ];
}

async function placedIn(folder: string): Promise<{ submitted: number; freed: number }> {
  const program = join(import.meta.dirname, "guard", "placement.ts");
  const { stdout } = await promisify(execFile)(nodeOf(join(folder, "bin", "alt-las.js")), [program, folder]);
  const rows = JSON.parse(stdout) as readonly Row[];
  const row = rows.find(({ GPUs, queued }) => GPUs === PLACED.GPUs && queued === PLACED.queued)!;
  return { submitted: Number(row["submitted p50 µs"]), freed: Number(row["slot freed p50 µs"]) };
}

/** The embedded engine through both servers, and called directly: what the server costs, and what has changed. */
async function generating(theirs: string, { generations }: Plan): Promise<Figure[]> {
  await using started = new AsyncDisposableStack();
  const config = {
    engine: { model: DEMO_MODEL, context: CONTEXT, threads: 1 },
    gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: TASKS } },
  };
  const direct = started.adopt(
    await startDirect(llamaOptions(DEMO_MODEL, { slots: TASKS, context: CONTEXT, backend: false })),
    (engine) => engine.stop(),
  );
  const open = async (program: Program) => {
    const options = { devices: "cpu:1", config, ...named(program) };
    const server = started.adopt(await startServer(options), (one) => one.stop());
    return measuredWith(through(server));
  };
  const sides = [await open(undefined), await open(theirs), direct] as const;
  const work: Work = { tasks: 2 * TASKS, concurrent: TASKS, maxLength: LENGTH };
  for (const side of sides) await side.throughput(work);
  const rates: (readonly [number, number, number])[] = [];
  for (let turn = 0; turn < generations; turn++) {
    rates.push(
      await inTurns(turn, sides, async (side) => {
        const { tokens, seconds } = await side.throughput(work);
        return tokens / seconds;
      }),
    );
  }
  return [
    { what: "tokens a second, embedded engine", ratios: rates.map(([one, other]) => one / other), atLeast: 0.95 },
    {
      what: "tokens a second through this server, of the engine called directly",
      ratios: rates.map(([one, , alone]) => one / alone),
      atLeast: 0.9,
    },
  ];
}

/** The ratios of so many pairs of turns. */
async function compared<Side>(
  pairs: number,
  sides: readonly [Side, Side],
  of: (side: Side) => Promise<number>,
): Promise<number[]> {
  const ratios: number[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    const [one, other] = await inTurns(pair, sides, of);
    ratios.push(one / other);
  }
  return ratios;
}

/** Asks one side after the other, another one first each time; the answers stand as the sides do. */
async function inTurns<const Sides extends readonly unknown[], Answer>(
  turn: number,
  sides: Sides,
  of: (side: Sides[number]) => Promise<Answer>,
): Promise<{ readonly [Place in keyof Sides]: Answer }> {
  const answers: Answer[] = [];
  for (let step = 0; step < sides.length; step++) {
    const place = (turn + step) % sides.length;
    answers[place] = await of(sides[place]);
  }
  return answers as unknown as { readonly [Place in keyof Sides]: Answer };
}

function named(program: Program): { program?: string } {
  return program === undefined ? {} : { program };
}

function rowOf({ what, ratios }: Figure): Row {
  return { what, ratio: shown(centreOf(ratios)), turns: ratios.length };
}

function barOf({ what, ratios, ...bounds }: Figure): Bar[] {
  const { value, margin } = centreOf(ratios);
  return Number.isNaN(value) ? [] : [{ what: `${what}, ratio`, measured: value, margin, ...bounds }];
}

function shown({ value, margin }: Centre): string {
  return Number.isNaN(value) ? "not known" : `${value.toFixed(3)} ± ${margin.toFixed(3)}`;
}
