import { type EngineOptions } from "../src/engine/engine.ts";

export interface EngineShape extends Pick<EngineOptions, "slots"> {
  /** Tokens of each slot. */
  readonly context: number;
  /** Absent: one CPU device of one thread. */
  readonly backend?: EngineOptions["backend"];
}

/** What a worker is given for llama.cpp. */
export function llamaOptions(model: string, { slots, context, backend = false }: EngineShape): EngineOptions {
  const threads = backend === false ? 1 : null;
  return {
    kind: "llama",
    model,
    context,
    minContext: context,
    raw: false,
    slots,
    backend,
    tuning: { threads, cores: 1, prefillChunk: 256, batchSize: null, flashAttention: null, kvCacheType: null },
    binary: "llama-server",
    upstream: null,
    patience: { firstByte: 120, token: 30 },
    memoryBudget: null,
    memoryShare: 1,
    measuredOverhead: null,
    simulated: { tokens_per_second: 0, load_seconds: 0, context, memory_bytes: 0, failures: [] },
  };
}
