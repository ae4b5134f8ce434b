/** The embedded engine through this server, beside llama-server asked directly: tokens a second, and prompts that come together. */
import { DEMO_MODEL } from "../../src/gpu/inventory/devices.ts";
import { type Generate, throughput } from "../generation.ts";
import { TracedBinary } from "../llama-server.ts";
import { randomModel } from "../random-model.ts";
import { type Bar, centreOf, type Extent, median, type Row, rounded, type Section } from "../report.ts";
import { CPU, type Model, ratioColumns, startFor } from "../sides.ts";
import { through, throughLlamaServer } from "../streaming-client.ts";
import { llamaServer, reasonOf } from "./cupboard.ts";
import { type Provided, spread } from "./shelf.ts";

const SLOTS = 8;
/** At once, and of llama-server's tokens a second at least so many. */
const TASKS: ReadonlyMap<number, number> = new Map([
  [1, 0.97],
  [4, 1],
  [8, 1],
]);
/** Newcomers while nobody generates, of llama-server's time to their first token at most. */
const TOGETHER = [4, 8];
const MOST_OF_FIRST = 1.05;
/** Words of a newcomer's prompt. */
const WORDS = 60;
const TEMPERATURE = 0.7;
const PLANS = { quick: { length: 32, rounds: 1 }, whole: { length: 64, rounds: 4 } };

/** What one side did, one figure a round. */
interface Found {
  readonly rates: ReadonlyMap<number, number[]>;
  /** Milliseconds to the first text of the median newcomer. */
  readonly firsts: ReadonlyMap<number, number[]>;
}

/** @param missing is told of llama-server's version, or why there is none */
export async function engineSection(
  { quick, profile }: Pick<Extent, "quick" | "profile">,
  missing: (one: Provided) => void,
): Promise<Section> {
  const name = "peers: engine";
  const peer = { name: "llama-server", version: "–", missing: null };
  const binary = await llamaServer().catch(reasonOf);
  if (typeof binary === "string") {
    missing({ ...peer, missing: binary });
    return { name, about: "Left out: there is no llama-server; ALT_LAS_LLAMA_SERVER can name it.", rows: [], bars: [] };
  }
  missing({ ...peer, version: binary.version });
  const plan = quick ? PLANS.quick : PLANS.whole;
  await using started = new AsyncDisposableStack();
  const model = quick ? modelAt("demo", DEMO_MODEL) : modelAt("random 100M", randomModel());
  const traced = started.adopt(new TracedBinary(binary.path), (one) => one.remove());
  const ours = started.adopt(await startFor(model, CPU, {}, profile), (server) => server.stop());
  const engine = { kind: "llama-server", binary: traced.path };
  // Only so that it has the same arguments; it is asked without the server that has started it.
  started.adopt(await startFor(model, CPU, engine, false), (server) => server.stop());
  const sides = { ours: through(ours, true), theirs: throughLlamaServer(traced.started()) };
  const found = { ours: nothing(), theirs: nothing() };
  for (const generate of Object.values(sides))
    await throughput(generate, { tasks: 2 * SLOTS, concurrent: SLOTS, maxLength: plan.length });
  for (let round = 0; round < plan.rounds; round++) {
    const order = ["ours", "theirs"] as const;
    for (const side of round % 2 === 0 ? order : order.toReversed()) await measure(sides[side], found[side], plan);
  }
  return { name, ...sectionOf(model.name, found) };
}

function modelAt(name: string, path: string): Model {
  const unused = { neighbourLength: 0, loads: [], longest: 0, warmUp: 0, patience: 0, newcomerPatience: 0 };
  return { ...unused, name, path, slots: SLOTS };
}

function nothing(): Found {
  return {
    rates: new Map(TASKS.keys().map((tasks) => [tasks, []])),
    firsts: new Map(TOGETHER.map((tasks) => [tasks, []])),
  };
}

async function measure(generate: Generate, { rates, firsts }: Found, { length }: { length: number }): Promise<void> {
  for (const [tasks, figures] of rates) {
    const { tokens, seconds } = await throughput(generate, { tasks, concurrent: tasks, maxLength: length });
    figures.push(tokens / seconds);
  }
  for (const [tasks, figures] of firsts) figures.push(median(await together(generate, tasks)));
}

/** Milliseconds to the first text of each of so many tasks that come at once. */
function together(generate: Generate, tasks: number): Promise<number[]> {
  const started = performance.now();
  return Promise.all(
    Array.from({ length: tasks }, async () => {
      let first: number | null = null;
      // No two have a beginning in common, which an engine would read once.
      const text = Array.from({ length: WORDS }, () => Math.random().toString(36).slice(2, 5)).join(" ");
      await generate({ text, maxLength: 2, temperature: TEMPERATURE }, () => (first ??= performance.now() - started));
      return first ?? performance.now() - started;
    }),
  );
}

function sectionOf(model: string, { ours, theirs }: { ours: Found; theirs: Found }): Omit<Section, "name"> {
  const rateRows = [...TASKS].map(([tasks, atLeast]) =>
    compared(`tokens/s, ${tasks} at once`, ours.rates.get(tasks)!, theirs.rates.get(tasks)!, { atLeast }),
  );
  const firstRows = TOGETHER.map((tasks) =>
    compared(`first token ms, ${tasks} together`, ours.firsts.get(tasks)!, theirs.firsts.get(tasks)!, {
      atMost: MOST_OF_FIRST,
    }),
  );
  const all = [...rateRows, ...firstRows];
  return {
    about:
      `The embedded engine through this server, and a llama-server asked directly, by turns; ${model} model, one thread each, ${SLOTS} slots. Together: newcomers with prompts of ` +
      `${WORDS} random words while nobody generates, the median one of each round. Medians with least and most; ratios of the same round, ± is the interval of 95 %.`,
    rows: all.map(({ row }) => row),
    bars: all.map(({ bar }) => bar),
  };
}

function compared(
  what: string,
  ours: readonly number[],
  theirs: readonly number[],
  bound: Pick<Bar, "atLeast" | "atMost">,
): { row: Row; bar: Bar } {
  const ratio = centreOf(ours.map((figure, round) => figure / theirs[round]!));
  const row = {
    what,
    "llama-server": spread(theirs, median(theirs), 0),
    "embedded engine": spread(ours, median(ours), 0),
    ...ratioColumns(ratio),
  };
  return {
    row,
    bar: { what: `${what}, of llama-server's`, measured: rounded(ratio.value, 3), margin: ratio.margin, ...bound },
  };
}
