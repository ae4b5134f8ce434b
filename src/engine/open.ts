import { type Engine, type EngineOptions } from "./engine.ts";
import { type EngineKind } from "./kinds.ts";

/** Each kind is imported only when it is wanted: a simulated worker must not load llama.cpp's native code. */
const OPENERS: Readonly<Record<EngineKind, (options: EngineOptions, gpuId: number) => Promise<Engine>>> = {
  llama: async (options) => new (await import("./llama/llama.ts")).LlamaEngine(options),
  "llama-server": async (options) => new (await import("./llama-server/llama-server.ts")).LlamaServerEngine(options),
  openai: async (options) => new (await import("./openai/openai.ts")).OpenAiEngine(options),
  simulated: async (options, gpuId) => new (await import("./simulated.ts")).SimulatedEngine(options, gpuId),
};

/** Makes the engine that the options name, without loading its model yet. */
export function createEngine(options: EngineOptions, gpuId: number): Promise<Engine> {
  return OPENERS[options.kind](options, gpuId);
}
