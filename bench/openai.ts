/** What OpenAI's API costs: streamed chats through the server against the same engine, called directly with the same conversations. */
import { type GpusAnswer } from "../src/http/schemas/gpus.ts";
import { llamaOptions } from "./engine-options.ts";
import { startDirect } from "./generation.ts";
import { type Extent, type Section } from "./report.ts";
import {
  comparison,
  CONTEXT,
  CPU,
  cpuModels,
  type Figures,
  HOW,
  measure,
  measuredWith,
  type Model,
  type Side,
  startFor,
} from "./sides.ts";
import { throughChat } from "./streaming-client.ts";

export async function openai(extent: Extent): Promise<Section> {
  const figures: Figures[] = [];
  for (const model of cpuModels(extent)) {
    // Only what its bars are about, a full device: the rest is the engine's, which has a benchmark of its own.
    figures.push(...(await measure({ ...model, loads: model.loads.slice(-1) }, [() => sidesOf(model, extent)])));
  }
  return {
    name: "openai",
    about:
      `${CPU.what}: POST /v1/chat/completions, streamed, against the same engine called in a process of its own with the same ` +
      `conversations, in turns. ${HOW}`,
    ...comparison("chat", figures, extent.quick),
  };
}

async function sidesOf(model: Model, { profile }: Extent): Promise<Side[]> {
  const { slots, path } = model;
  const direct = await startDirect(llamaOptions(path, { slots, context: CONTEXT, backend: CPU.backend }), true);
  const server = await startFor(model, CPU, {}, profile);
  const { gpus } = await server.ask<GpusAnswer>("/api/v1/gpus");
  const generate = throughChat(server, gpus[0]!.model_name!);
  return [
    { kind: "chat", through: "itself", ...direct },
    { kind: "chat", through: "server", pid: server.pid, ...measuredWith(generate), stop: () => server.stop() },
  ];
}
