/** What the server costs: an engine behind HTTP, scheduler, store and worker process against the same engine called directly. */
import { type EngineOptions } from "../src/engine/engine.ts";
import { DEMO_MODEL } from "../src/gpu/devices.ts";
import { type DirectEngine, firstTokens, startDirect, through, throughput } from "./generation.ts";
import { randomModel } from "./random-model.ts";
import { type Extent, median, type Section } from "./report.ts";
import { type BenchServer, startServer } from "./server.ts";

const CONCURRENT = [1, 4, 8];
const SLOTS = 8;
const CONTEXT = 1024;
const THREADS = 1;

interface Model {
  readonly name: string;
  readonly path: string;
  /** Tokens of each task. */
  readonly maxLength: number;
  /** Comparisons for each number of concurrent tasks. */
  readonly pairs: number;
}

type Row = {
  readonly model: string;
  readonly tasks: number;
  readonly "direct tokens/s": number;
  readonly "server tokens/s": number;
  readonly ratio: number;
  readonly "direct first ms": number;
  readonly "server first ms": number;
};

export async function engine({ quick, profile }: Extent): Promise<Section> {
  const random = { name: "random 100M", path: randomModel(), maxLength: 128, pairs: quick ? 2 : 9 };
  const demo = { name: "demo", path: DEMO_MODEL, maxLength: 128, pairs: quick ? 7 : 21 };
  const samples = quick ? 15 : 41;
  const rows = [...(await compare(random, samples, profile)), ...(await compare(demo, samples, false))];
  const barred = rows.filter(({ model }) => model === random.name);
  return {
    name: "engine",
    about:
      `One CPU device (${THREADS} thread, ${SLOTS} slots): POST /api/v1/predict with Prefer: wait against the same engine called in a ` +
      `process of its own, in turns; each ratio is the median of its comparisons (${random.pairs} and ${demo.pairs}; three times as many for a task alone). First: the ` +
      "median time a task of one token takes, from the request to its answer, while the other tasks generate; the server's has both of " +
      "the task's commits in it, so a streamed first token would be there sooner.",
    rows,
    bars: barred.map(({ tasks, ratio }) => ({
      what: `throughput of the ${random.name} model through the server, of direct calls', at ${tasks}`,
      measured: ratio,
      atLeast: 0.95,
    })),
  };
}

async function compare(model: Model, samples: number, profile: boolean): Promise<Row[]> {
  const engineConfig = { model: model.path, context: CONTEXT, threads: THREADS };
  const server = await startServer({ devices: "cpu:1", config: { engine: engineConfig }, profile });
  try {
    const direct = await startDirect(optionsFor(model.path));
    try {
      const rows: Row[] = [];
      for (const concurrent of CONCURRENT) rows.push(await compareAt(concurrent, model, samples, server, direct));
      return rows;
    } finally {
      await direct.stop();
    }
  } finally {
    await server.stop();
  }
}

async function compareAt(
  concurrent: number,
  { name, maxLength, pairs }: Model,
  samples: number,
  server: BenchServer,
  direct: DirectEngine,
): Promise<Row> {
  const work = { tasks: concurrent, concurrent, maxLength };
  const viaServer = () => throughput(through(server), work);
  const viaDirect = async () => (await direct.do({ what: "throughput", ...work }))[0]!;
  const measured: { server: number; direct: number }[] = [];
  // One task alone is over so soon that a few comparisons would say little.
  const count = concurrent === 1 ? 3 * pairs : pairs;
  // The first comparison warms both up; who goes first alternates, because what else the machine does drifts.
  for (let pair = 0; pair <= count; pair++) {
    const early = pair % 2 === 0 ? await viaDirect() : 0;
    const serverFigure = await viaServer();
    const directFigure = early || (await viaDirect());
    if (pair > 0) measured.push({ server: serverFigure, direct: directFigure });
  }
  const neighbours = concurrent - 1;
  const directFirst = await direct.do({ what: "first tokens", neighbours, samples });
  const serverFirst = await firstTokens(through(server), neighbours, samples);
  return {
    model: name,
    tasks: concurrent,
    "direct tokens/s": Math.round(median(measured.map((pair) => pair.direct))),
    "server tokens/s": Math.round(median(measured.map((pair) => pair.server))),
    ratio: Math.round(median(measured.map((pair) => pair.server / pair.direct)) * 1000) / 1000,
    "direct first ms": Math.round(median(directFirst) * 10) / 10,
    "server first ms": Math.round(median(serverFirst) * 10) / 10,
  };
}

/** What the server's worker is given for one CPU device. */
function optionsFor(model: string): EngineOptions {
  return {
    kind: "llama",
    model,
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
