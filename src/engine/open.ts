import { type Engine, type EngineOptions } from "./engine.ts";

/**
 * Makes the engine that the options name, without loading its model yet.
 *
 * Each kind is imported only when it is wanted: a simulated worker must not load llama.cpp's native code.
 */
export async function createEngine(options: EngineOptions, gpuId: number): Promise<Engine> {
  if (options.kind === "simulated") {
    const { SimulatedEngine } = await import("./simulated.ts");
    return new SimulatedEngine(options, gpuId);
  }
  if (options.kind === "openai") {
    const { OpenAiEngine } = await import("./openai/openai.ts");
    return new OpenAiEngine(options);
  }
  if (options.kind === "llama-server") {
    const { LlamaServerEngine } = await import("./llama-server/llama-server.ts");
    return new LlamaServerEngine(options);
  }
  const { LlamaEngine } = await import("./llama/llama.ts");
  return new LlamaEngine(options);
}
