/** How llama.cpp computes: what the configuration says, else what suits the model, the device and its memory; and why. */
import type { EngineOptions, EngineSetting, KvCacheType } from "../engine.ts";
import { batchSizeFor } from "./batch.ts";
import { DEFAULT_CONTEXT } from "./file-shape.ts";
import type { ModelHeader } from "./header.ts";
import type { MemoryPlan } from "../memory-plan.ts";

/** Numbers for which llama.cpp's quantized types have one scale: a row of the KV cache has to be a multiple. */
const QUANTIZED_BLOCK = 32;

const CONFIGURED = "the configuration says so";
/** Not that it is configured: what is wanted may be the default. */
const SLOTS_WANTED = "as many as max_concurrent_tasks_per_gpu, or the device's slots, asks for";
const NO_MORE = "memory is enough for no more";

/** Tokens of context wanted for each slot. */
export function contextWanted({ context }: EngineOptions, trainContext: number): number {
  return context ?? Math.min(trainContext, DEFAULT_CONTEXT);
}

/** CPU threads to compute with. */
export function threadsFor({ backend, tuning }: EngineOptions): number {
  return tuning.threads ?? (backend === false ? tuning.cores : 1);
}

/** `auto`: llama.cpp looks whether the device has it for this model. */
export function flashAttentionFor({ tuning }: EngineOptions, { insights }: ModelHeader): boolean | "auto" {
  return tuning.flashAttention ?? (insights.flashAttentionSupported ? "auto" : false);
}

/** The types that the KV cache may have, the best first. */
export function kvCacheTypesFor(options: EngineOptions, header: ModelHeader): readonly KvCacheType[] {
  const { kvCacheType } = options.tuning;
  if (kvCacheType !== null) return [kvCacheType];
  // Without flash attention there are no quantized values.
  const isPossible =
    flashAttentionFor(options, header) !== false && header.kvRow > 0 && header.kvRow % QUANTIZED_BLOCK === 0;
  return isPossible ? ["f16", "q8_0"] : ["f16"];
}

/** The decisions. */
export interface Decided {
  readonly options: EngineOptions;
  readonly header: ModelHeader;
  readonly plan: MemoryPlan;
  /** Why another type of KV cache than the plan's first could not be made; null: none has failed. */
  readonly refusedType: string | null;
}

export function settingsOf({ options, header, plan, refusedType }: Decided): EngineSetting[] {
  const { tuning } = options;
  if (!header.generates) return embeddingSettingsOf(options, header, plan);
  const batchSize = batchSizeFor(options, plan.slots);
  return [
    { name: "threads", value: threadsFor(options), reason: threadsReason(options) },
    { name: "batch_size", value: batchSize, reason: batchReason(options, plan.slots) },
    { name: "prefill_chunk", ...prefillSetting(tuning.prefillChunk, batchSize) },
    { name: "flash_attention", ...flashAttentionSetting(options, header) },
    { name: "kv_cache_type", value: plan.kvCacheType, reason: refusedType ?? kvCacheReason(options, header, plan) },
    ...roomSettings(options, header, plan),
  ];
}

function embeddingSettingsOf(options: EngineOptions, header: ModelHeader, plan: MemoryPlan): EngineSetting[] {
  return [
    { name: "threads", value: threadsFor(options), reason: threadsReason(options) },
    { name: "batch_size", value: plan.context, reason: "a model for embeddings sees a text as a whole" },
    { name: "flash_attention", ...flashAttentionSetting(options, header) },
    ...roomSettings(options, header, plan),
  ];
}

function roomSettings(options: EngineOptions, header: ModelHeader, plan: MemoryPlan): EngineSetting[] {
  return [
    { name: "context", value: plan.context, reason: contextReason(options, header, plan) },
    { name: "slots", value: plan.slots, reason: plan.slots < options.slots ? NO_MORE : SLOTS_WANTED },
  ];
}

function threadsReason({ backend, tuning }: EngineOptions): string {
  const { threads, cores } = tuning;
  if (threads !== null && backend === false && threads > cores)
    return `${CONFIGURED}; of the cores only ${cores} can be its own, as the server needs one too`;
  if (threads !== null) return CONFIGURED;
  if (backend === false) return "its share of the cores, of which one is left for the server";
  return "the GPU computes, and one thread is enough to feed it";
}

function batchReason({ backend, tuning }: EngineOptions, slots: number): string {
  if (tuning.batchSize !== null) return tuning.batchSize < slots ? "a step has a token of each slot" : CONFIGURED;
  return `on a ${backend === false ? "CPU" : "GPU"} more at once gains little`;
}

function prefillSetting(configured: number, batchSize: number): Omit<EngineSetting, "name"> {
  const value = Math.min(configured, batchSize);
  const what = value < configured ? "as many as a step has tokens (batch_size), at most" : "at most";
  return { value, reason: `${what}; less where the other tasks would wait for it` };
}

function flashAttentionSetting(options: EngineOptions, header: ModelHeader): { value: string; reason: string } {
  const value = String(flashAttentionFor(options, header));
  if (options.tuning.flashAttention !== null) return { value, reason: CONFIGURED };
  if (value === "auto") return { value, reason: "llama.cpp uses it where the device has it for this model" };
  return { value, reason: "it does not work with this model" };
}

function kvCacheReason(options: EngineOptions, header: ModelHeader, { kvCacheType }: MemoryPlan): string {
  if (options.tuning.kvCacheType !== null) return CONFIGURED;
  const [best, ...others] = kvCacheTypesFor(options, header);
  if (kvCacheType !== best) return `memory is not enough for ${best}`;
  return others.length === 0 ? "no smaller one works here" : "memory is enough for it";
}

function contextReason(options: EngineOptions, { trainContext }: ModelHeader, plan: MemoryPlan): string {
  if (plan.context < contextWanted(options, trainContext)) return NO_MORE;
  if (options.context !== null) return CONFIGURED;
  const limit = DEFAULT_CONTEXT.toLocaleString("en-US");
  return trainContext > DEFAULT_CONTEXT
    ? `the model was trained for more, but none is configured beyond ${limit}`
    : `as the model was trained, up to ${limit}`;
}

/**
 * Whether a text is continued as it is where its request does not say.
 * @param problem why the model's chat template cannot be used; null: it has none, or it can
 */
export function rawSetting({ raw }: EngineOptions, hasTemplate: boolean, problem: string | null): EngineSetting {
  return { name: "raw", value: String(raw || !hasTemplate), reason: rawReason(raw, hasTemplate, problem) };
}

function rawReason(raw: boolean, hasTemplate: boolean, problem: string | null): string {
  if (problem !== null)
    return `the model's chat template cannot be used, so texts are continued as they are: ${problem}`;
  if (!hasTemplate) return "the model has no chat template, so texts are continued as they are";
  if (raw) return "the configuration says so: texts are continued as they are, although the model has a chat template";
  return "the model has a chat template: a text is one message of a user";
}
