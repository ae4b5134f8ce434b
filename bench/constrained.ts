/** What answers of a form cost, and probabilities: the tasks themselves, and those beside them. */
import { type EngineOptions } from "../src/engine/engine.ts";
import { threadPoolFor } from "../src/gpu/worker/fork-channel.ts";
import { instructModel } from "../test/helpers/real-models.ts";
import { startChild } from "./child.ts";
import { type Paces, type Together } from "./constrained-tasks.ts";
import { llamaOptions } from "./engine-options.ts";
import { randomModel } from "./random-model.ts";
import { centreOf, type Extent, median, type Row, rounded, type Section } from "./report.ts";

const SLOTS = 8;
/** Of the speed that tasks have beside others that are free. */
const NEIGHBOURS_KEEP = 0.85;
/** Of each comparison that has a bar; the others are there to explain it. */
const ROUNDS = 4;
const ROUNDS_WITHOUT_BAR = 2;
/** Threads of Node's own default. */
const OTHER_POOL = 4;

interface Comparison {
  readonly what: string;
  readonly tasks: Omit<Together, "tokens">;
  /** Whose pace is compared with that of free tasks, of which there are as many in all. */
  readonly whose: keyof Paces;
  /** Threads of the pool; null: those that a worker has. */
  readonly pool: number | null;
  readonly atLeast?: number;
}

const FREE = { free: 0, held: 0, told: 0 };

const COMPARISONS: readonly Comparison[] = [
  { what: "one answer of a form, alone", tasks: { ...FREE, held: 1 }, whose: "held", pool: null },
  { what: "one with probabilities, alone", tasks: { ...FREE, told: 1 }, whose: "told", pool: null },
  {
    what: "7 free ones beside one of a form",
    tasks: { ...FREE, free: 7, held: 1 },
    whose: "free",
    pool: null,
    atLeast: NEIGHBOURS_KEEP,
  },
  {
    what: "4 free ones beside 4 of a form",
    tasks: { ...FREE, free: 4, held: 4 },
    whose: "free",
    pool: null,
    atLeast: NEIGHBOURS_KEEP,
  },
  { what: "4 free ones beside 4 of a form", tasks: { ...FREE, free: 4, held: 4 }, whose: "free", pool: OTHER_POOL },
  {
    what: "7 free ones beside one with probabilities",
    tasks: { ...FREE, free: 7, told: 1 },
    whose: "free",
    pool: null,
  },
];

export async function constrained({ quick }: Extent): Promise<Section> {
  const real = instructModel();
  const options = llamaOptions(real ?? randomModel(), { slots: SLOTS, context: 1024 });
  const own = await startTasks(options, threadPoolFor(options));
  const other = await startTasks(options, { UV_THREADPOOL_SIZE: String(OTHER_POOL) });
  const ratios = COMPARISONS.map((): number[] => []);
  const paces = COMPARISONS.map((): number[] => []);
  const tokens = quick ? 6 : 24;
  for (let round = 0; round < (quick ? 1 : ROUNDS); round++)
    for (const [index, { tasks, whose, pool, atLeast }] of COMPARISONS.entries()) {
      if (atLeast === undefined && round >= ROUNDS_WITHOUT_BAR) continue;
      const run = pool === null ? own : other;
      const all = { ...FREE, free: tasks.free + tasks.held + tasks.told, tokens };
      // In turns: what else the machine does comes and goes.
      const [before, among] = [await run.together(all), await run.together({ ...tasks, tokens })];
      const after = quick ? before : await run.together(all);
      ratios[index]!.push((before.free! + after.free!) / 2 / among[whose]!);
      paces[index]!.push(among[whose]!);
    }
  await Promise.all([own.stop(), other.stop()]);
  const rows = COMPARISONS.map(({ what, pool }, index): Row => {
    const { value, margin } = centreOf(ratios[index]!);
    return {
      tasks: what,
      "threads of the pool": pool ?? threadPoolFor(options)["UV_THREADPOOL_SIZE"] ?? OTHER_POOL,
      "ms a token": rounded(median(paces[index]!), 1),
      "speed, of free ones": rounded(value, 3),
      "±": rounded(margin, 3),
    };
  });
  return {
    name: "constrained",
    about:
      `Speed of tasks that have a form, or tell the probabilities of their tokens with five others for each, and of those beside them, as a ratio to ` +
      `as many free tasks on the same engine; ${real === null ? "random 100M model" : "SmolLM2-135M-Instruct"}, one thread.`,
    rows,
    bars: COMPARISONS.flatMap(({ what, atLeast }, index) => {
      const { value: measured, margin } = centreOf(ratios[index]!);
      return atLeast === undefined ? [] : [{ what: `speed of ${what}, of free ones`, measured, margin, atLeast }];
    }),
  };
}

interface Tasks {
  together(order: Together): Promise<Paces>;
  stop(): Promise<void>;
}

async function startTasks(engine: EngineOptions, environment: Readonly<Record<string, string>>): Promise<Tasks> {
  const child = startChild<EngineOptions | Together>("constrained-tasks.ts", { ...process.env, ...environment });
  await child.ask(engine);
  return { together: (order) => child.ask(order), stop: () => child.stop() };
}
