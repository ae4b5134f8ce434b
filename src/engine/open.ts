import type { Engine, EngineOptions, SimulatedFaults } from "./engine.ts";
import type { EngineKind } from "./kinds.ts";

type Open = (options: EngineOptions, gpuId: number, faults?: SimulatedFaults) => Promise<Engine>;

/** Each kind is imported only when it is wanted: a simulated worker must not load llama.cpp's native code. */
const OPENERS: Readonly<Record<EngineKind, Open>> = {
  llama: async (options) => new (await import("./llama/llama.ts")).LlamaEngine(options),
  "llama-server": async (options) => new (await import("./llama-server/llama-server.ts")).LlamaServerEngine(options),
  openai: async (options) => new (await import("./openai/openai.ts")).OpenAiEngine(options),
  simulated: async (options, gpuId, faults) =>
    new (await import("./simulated/simulated.ts")).SimulatedEngine(options, gpuId, faults),
};

/**
 * Makes the engine that the options name, without loading its model yet.
 * @param faults what the simulated engine's worst failures do; absent: they end or block this process
 */
export const createEngine: Open = (options, gpuId, faults) => OPENERS[options.kind](options, gpuId, faults);
