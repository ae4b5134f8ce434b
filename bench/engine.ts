/** What the server costs: an engine behind HTTP, scheduler, store and worker process against the same engine called directly. */
import { probeLlama } from "../src/gpu/inventory/probe.ts";
import { llamaOptions } from "./engine-options.ts";
import { startDirect } from "./generation.ts";
import { findLlamaServer, NO_LLAMA_SERVER, TracedBinary } from "./llama-server.ts";
import { randomModel } from "./random-model.ts";
import { centreOf, type Extent, median, type Row, type Section } from "./report.ts";
import { type BenchServer } from "./server.ts";
import {
  comparison,
  CONTEXT,
  CPU,
  cpuModels,
  type Figures,
  figuresOf,
  firstOf,
  HOW,
  type Kind,
  type Load,
  measure,
  measuredWith,
  type Model,
  type Place,
  ratioColumns,
  ratiosOf,
  type Side,
  startFor,
  WARM_UP,
} from "./sides.ts";
import { through, throughLlamaServer } from "./streaming-client.ts";

export async function engine(extent: Extent): Promise<Section[]> {
  return compareAt(CPU, cpuModels(extent), extent);
}

/** The same on the first GPU that llama.cpp opens. */
export async function engineOnGpu(extent: Extent): Promise<Section[]> {
  const { backend, names } = await probeLlama({});
  if (backend === false) return [absent("engine-gpu", "llama.cpp opens no GPU here.")];
  const what = `${names[0]} (${backend})`;
  return compareAt({ name: "engine-gpu", what, devices: "gpu:0", backend, engine: {} }, gpuModels(extent), extent);
}

async function compareAt(place: Place, models: readonly Model[], { quick, profile }: Extent): Promise<Section[]> {
  const binary = await findLlamaServer();
  const figures: Figures[] = [];
  for (const model of models) figures.push(...(await measure(model, opening(model, place, binary, profile))));
  const embedded = embeddedSection(place, figures, quick);
  if (binary === null) return [embedded, absent(`${place.name}: llama-server`, NO_LLAMA_SERVER)];
  return [embedded, llamaServerSection(place, figures, quick), enginesSection(place, figures)];
}

/** Its texts are longer, because it is faster: as above, one takes half a second and more. */
function gpuModels({ quick }: Extent): Model[] {
  const shared = {
    path: randomModel("1b"),
    neighbourLength: 400,
    longest: Infinity,
    warmUp: WARM_UP.full,
    patience: quick ? 5 : 75,
    newcomerPatience: 30,
  };
  const groups = quick ? 3 : 9;
  return [
    { ...shared, name: "8-slot random 1.1B", slots: 8, loads: [gpuLoad(1), gpuLoad(4), gpuLoad(8, groups)] },
    { ...shared, name: "32-slot random 1.1B", slots: 32, loads: [gpuLoad(8), gpuLoad(32, groups)] },
  ];
}

function gpuLoad(tasks: number, groups = 0): Load {
  return { tasks, maxLength: 512, groups };
}

/** The pairs of sides that can be compared here, not started yet. */
function opening(model: Model, place: Place, binary: string | null, profile: boolean): (() => Promise<Side[]>)[] {
  const embedded = () => embeddedSides(model, place, profile);
  return binary === null ? [embedded] : [embedded, () => llamaServerSides(model, place, binary, profile)];
}

async function embeddedSides(model: Model, place: Place, profile: boolean): Promise<Side[]> {
  const direct = await startDirect(
    llamaOptions(model.path, { slots: model.slots, context: CONTEXT, backend: place.backend }),
  );
  const server = await startFor(model, place, {}, profile);
  return [{ kind: "embedded", through: "itself", ...direct }, sideOf(server, "embedded")];
}

/** One llama-server for both. */
async function llamaServerSides(model: Model, place: Place, binary: string, profile: boolean): Promise<Side[]> {
  const traced = new TracedBinary(binary);
  try {
    const server = await startFor(model, place, { kind: "llama-server", binary: traced.path }, profile);
    const { pid, ...door } = traced.started();
    const direct = measuredWith(throughLlamaServer(door));
    return [
      // The server ends it.
      { kind: "llama-server", through: "itself", pid, ...direct, stop: async () => {} },
      sideOf(server, "llama-server"),
    ];
  } finally {
    traced.remove();
  }
}

function sideOf(server: BenchServer, kind: Kind): Side {
  const generate = through(server, kind === "llama-server");
  return { kind, through: "server", pid: server.pid, ...measuredWith(generate), stop: () => server.stop() };
}

function embeddedSection({ name, what }: Place, figures: readonly Figures[], quick: boolean): Section {
  return {
    name: `${name}: embedded`,
    about:
      `${what}: POST /api/v1/predict, against the same engine called in a process of its own, in turns. The ends of the tasks are ` +
      `waited for; newcomers are streamed. ${HOW}`,
    ...comparison("embedded", figures, quick),
  };
}

function llamaServerSection({ name }: Place, figures: readonly Figures[], quick: boolean): Section {
  return {
    name: `${name}: llama-server`,
    about:
      "The same through this server to a llama-server that its worker has started, against this very llama-server, which the same client " +
      `asks at /completion when nobody else does; all is streamed. ${HOW} Worker, server, client and llama-server share the cores.`,
    ...comparison("llama-server", figures, quick),
  };
}

function absent(name: string, why: string): Section {
  return { name, about: `Left out: ${why}`, rows: [], bars: [] };
}

function enginesSection({ name, backend }: Place, all: readonly Figures[]): Section {
  const llamaServers = all.filter(({ kind, through: way }) => kind === "llama-server" && way === "itself");
  const pairs = llamaServers.map((one) => {
    const { model, tasks } = one;
    return { model, tasks, one, other: figuresOf(all, { kind: "embedded", through: "itself", model, tasks }) };
  });
  return {
    name: `${name}: embedded and llama-server`,
    about:
      "The two engines without this server, on the same models and with as many threads, from the measurements above. CPU: processor time " +
      `of the engine's process for each token. ${backend === false ? ON_A_CPU : ""}To its first text the embedded engine takes one step ` +
      "more, for the prompt's last token.",
    rows: pairs.map(({ model, tasks, one, other }): Row => ({
      model,
      tasks,
      "llama-server tokens/s": Math.round(median(one.rates)),
      "embedded tokens/s": Math.round(median(other.rates)),
      ...ratioColumns(centreOf(ratiosOf(other, one))),
      "llama-server CPU µs": Math.round(median(one.cpu)),
      "embedded CPU µs": Math.round(median(other.cpu)),
      "llama-server first ms": firstOf(one),
      "embedded first ms": firstOf(other),
    })),
    bars: [],
  };
}

const ON_A_CPU =
  "Both compute with kernels for this very processor. Between two steps the embedded one goes back to its event loop once, and finds " +
  "the caches as the model has left them. With four, llama-server may have slots whose numbers do not follow each other, which llama.cpp " +
  "decodes in several passes. ";
