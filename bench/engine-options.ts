import { type EngineOptions } from "../src/engine/engine.ts";

/** What a worker is given for llama.cpp on one CPU device of one thread. @param context tokens of each slot */
export function cpuOptions(
  model: string,
  { slots, context }: Pick<EngineOptions, "slots"> & { context: number },
): EngineOptions {
  return {
    kind: "llama",
    model,
    context,
    minContext: context,
    slots,
    backend: false,
    tuning: { threads: 1, cores: 1, prefillChunk: 256, batchSize: null, flashAttention: null, kvCacheType: null },
    binary: "llama-server",
    upstream: null,
    patience: { firstByte: 120, token: 30 },
    memoryBudget: null,
    memoryShare: 1,
    measuredOverhead: null,
    simulated: { tokens_per_second: 0, load_seconds: 0, context, memory_bytes: 0, failures: [] },
  };
}
