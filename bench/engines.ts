/**
 * The embedded engine beside a llama-server of its own, on the CPU: neither has a server of this project around it, and the llama-server has
 * its own defaults. They take turns, so that one run compares them on any machine.
 */
import { ownCpuOf } from "./cpu-time.ts";
import { llamaOptions } from "./engine-options.ts";
import {
  type DirectEngine,
  type Done,
  type FirstsTogether,
  type FirstTexts,
  startDirect,
  throughput,
  together,
} from "./generation.ts";
import { findLlamaServer, NO_LLAMA_SERVER, startLlamaServer } from "./llama-server.ts";
import { randomModel } from "./random-model.ts";
import { type Bar, type Centre, centreOf, type Extent, median, type Row, rounded, type Section } from "./report.ts";
import { CONTEXT } from "./sides.ts";
import { throughLlamaServer } from "./streaming-client.ts";

/** Tokens of each text. */
const LENGTH = 64;
/** Words of each prompt of those that come together: about as many tokens. */
const PROMPT = 60;
/** The least share of llama-server's tokens a second, alone and beside others. */
const ALONE = 0.97;
const TOGETHER = 1;
/** The most of llama-server's time to the first text. */
const FIRST = 1.05;

type Engine = Pick<DirectEngine, "pid" | "throughput" | "together" | "stop">;

/** What one load has found, a value for each turn, of the embedded engine and of llama-server. */
interface Pair<Value> {
  readonly tasks: number;
  readonly embedded: Value[];
  readonly other: Value[];
}

/** With the seconds of processor time that the engine's process took for it; NaN: this system does not tell. */
type Turn<Found> = Found & { readonly cpu: number };

export async function engines({ quick }: Extent): Promise<Section[]> {
  const binary = await findLlamaServer();
  if (binary === null) return [{ name: "engines", about: `Left out: ${NO_LLAMA_SERVER}`, rows: [], bars: [] }];
  const throughputs: Pair<Turn<Done>>[] = [];
  const firsts: Pair<FirstsTogether>[] = [];
  for (const [slots, loads] of [
    [8, [1, 4, 8]],
    [32, [32]],
  ] as const) {
    const both = await start(binary, slots);
    try {
      for (const tasks of loads) throughputs.push(await inTurns(both, tasks, turnsOf(tasks, quick), throughputOf));
      for (const tasks of loads) firsts.push(await inTurns(both, tasks, turnsOf(tasks, quick), firstsOf));
    } finally {
      for (const engine of both) await engine.stop();
    }
  }
  return [throughputSection(throughputs), firstsSection(firsts)];
}

/** Fewer of those that take long: a turn of 32 tasks takes as long as 20 of one. */
function turnsOf(tasks: number, quick: boolean): number {
  return Math.max(3, Math.round((quick ? 11 : 51) / Math.sqrt(tasks)));
}

async function start(binary: string, slots: number): Promise<readonly [embedded: Engine, other: Engine]> {
  const model = randomModel();
  const embedded = await startDirect(llamaOptions(model, { slots, context: CONTEXT }));
  const { stop, ...door } = await startLlamaServer(binary, { model, slots, context: CONTEXT, threads: 1 });
  const { pid } = door;
  const generate = throughLlamaServer(door);
  const other: Engine = {
    pid,
    throughput: (work) => throughput(generate, work),
    together: (crowd) => together(generate, crowd, () => ownCpuOf(pid) * 1000),
    stop,
  };
  const both = [embedded, other] as const;
  for (const engine of both) await engine.throughput({ tasks: 2 * slots, concurrent: slots, maxLength: 4 });
  return both;
}

async function inTurns<Value>(
  [embedded, other]: readonly [Engine, Engine],
  tasks: number,
  turns: number,
  measure: (engine: Engine, tasks: number) => Promise<Value>,
): Promise<Pair<Value>> {
  const found: Pair<Value> = { tasks, embedded: [], other: [] };
  for (let turn = 0; turn < turns; turn++) {
    const order = [
      { engine: embedded, values: found.embedded },
      { engine: other, values: found.other },
    ];
    for (const { engine, values } of turn % 2 === 0 ? order : order.toReversed())
      values.push(await measure(engine, tasks));
  }
  return found;
}

function throughputOf(engine: Engine, tasks: number): Promise<Turn<Done>> {
  return withCpu(engine, () => engine.throughput({ tasks, concurrent: tasks, maxLength: LENGTH }));
}

function firstsOf(engine: Engine, tasks: number): Promise<FirstsTogether> {
  return engine.together({ prompts: tasks, words: PROMPT });
}

async function withCpu<Found>({ pid }: Engine, measure: () => Promise<Found>): Promise<Turn<Found>> {
  const before = ownCpuOf(pid);
  const found = await measure();
  return { ...found, cpu: ownCpuOf(pid) - before };
}

function throughputSection(pairs: readonly Pair<Turn<Done>>[]): Section {
  const compared = pairs.map((pair) => {
    const { tasks } = pair;
    const rates = comparedBy(pair, ({ tokens, seconds }) => tokens / seconds);
    const costs = comparedBy(pair, ({ tokens, cpu }) => (cpu / tokens) * 1e6);
    const row = { tasks, "tokens/s": cellOf(rates), "CPU µs": cellOf(costs) };
    const what = `the embedded engine's tokens a second, of llama-server's, ${tasks} at once`;
    const { value: measured, margin } = rates.ratio;
    return { row, bar: { what, measured, margin, atLeast: tasks === 1 ? ALONE : TOGETHER } };
  });
  return sectionOf(
    "engines: tokens",
    `${LENGTH} tokens each. CPU: processor time of the engine's process for a token.`,
    compared,
  );
}

function firstsSection(pairs: readonly Pair<FirstsTogether>[]): Section {
  const compared = pairs.map((pair) => {
    const { tasks } = pair;
    const first = comparedBy(pair, ({ times }) => median(valuesOf(times)));
    const row = {
      prompts: tasks,
      "first ms": cellOf(first),
      "last ms": cellOf(comparedBy(pair, ({ times }) => Math.max(...valuesOf(times)))),
      "first CPU ms": cellOf(comparedBy(pair, ({ cpu }) => median(valuesOf(cpu)))),
      "last CPU ms": cellOf(comparedBy(pair, ({ cpu }) => Math.max(...valuesOf(cpu)))),
    };
    const what = `the embedded engine's time to the first text, of llama-server's, ${tasks} prompts at once`;
    const { value: measured, margin } = first.ratio;
    return { row, bar: { what, measured, margin, atMost: FIRST } };
  });
  const about =
    `Prompts of ${PROMPT} words, all different, that come at once while nothing is generated. First: until a prompt has its first text, ` +
    "the median of those of a turn; last: until all have theirs. CPU: processor time of the engine's process until then, which is what " +
    "counts where others use the machine too.";
  return sectionOf("engines: prompts together", about, compared);
}

function sectionOf(name: string, about: string, compared: readonly { row: Row; bar: Bar }[]): Section {
  const how =
    "Embedded engine and llama-server in turns, on the same model of 100M random weights, one thread each. Each cell: the medians of " +
    "both, and the middle of their ratios (Hodges-Lehmann), with what it may be off (95 %). ";
  return { name, about: how + about, rows: compared.map(({ row }) => row), bars: compared.map(({ bar }) => bar) };
}

interface Compared {
  readonly embedded: number;
  readonly other: number;
  readonly ratio: Centre;
}

function comparedBy<Value>({ embedded, other }: Pair<Value>, figure: (turn: Value) => number): Compared {
  const [own, others] = [embedded.map(figure), other.map(figure)];
  return { embedded: median(own), other: median(others), ratio: centreOf(own.map((value, at) => value / others[at]!)) };
}

function cellOf({ embedded, other, ratio: { value, margin } }: Compared): string {
  return `${Math.round(embedded)}, ${Math.round(other)}: ${rounded(value, 3)} ± ${rounded(margin, 3)}`;
}

function valuesOf(texts: FirstTexts): number[] {
  return texts.filter((value) => value !== null);
}
