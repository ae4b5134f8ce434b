/**
 * What a GGUF file will take in memory, found out before it is loaded.
 *
 * llama.cpp itself is asked: it builds the model and the context from the file's header without allocating them (`no_alloc`), and adds
 * up the buffers it would have made. So the figures hold for every architecture, sliding windows and recurrent layers included. For a
 * file that llama.cpp cannot build that way, node-llama-cpp estimates them from the header; then loading it tells what is wrong.
 *
 * Weights on a CPU count fully, although they are mapped and the system may drop parts of them: each token reads them all.
 */
import { GgufInsights, type GgufInsightsResourceRequirements, type Llama, readGgufFileInfo } from "node-llama-cpp";
import { type EngineOptions } from "./engine.ts";
import { type MemoryPlan, planMemory, type Rest } from "./memory-plan.ts";

/** Tokens of context for each slot when the configuration names none, and the model was trained for more. */
const DEFAULT_CONTEXT = 8192;

/**
 * Tokens decoded in one step at most. All slots wait for a step, so a long prompt goes in pieces of about this size:
 * on a CPU a bigger piece gains nothing and makes the neighbours stutter.
 */
const BATCH = { cpu: 128, gpu: 512 };

/**
 * Bytes that a driver takes of each GPU for a process beside what llama.cpp allocates: its context, its kernels, its libraries' work space.
 * A guess, on the large side of what CUDA takes; what an earlier load was seen to take replaces it.
 */
const DRIVER_BYTES = 512 * 2 ** 20;

/** A model file that has not been loaded yet. */
export interface ModelHeader {
  readonly insights: GgufInsights;
  /** Tokens; Infinity where the file does not say. */
  readonly trainContext: number;
  /** Bytes of KV cache one token takes at most: with sliding windows or recurrent layers it is less. */
  readonly kvBytesPerToken: number;
}

/** @throws whatever node-llama-cpp stumbles over in a damaged header */
export async function readHeader(llama: Llama, path: string, signal: AbortSignal): Promise<ModelHeader> {
  const file = await readGgufFileInfo(path, { sourceType: "filesystem", logWarnings: false, signal });
  const { context_length: trained } = file.architectureMetadata;
  return {
    insights: await GgufInsights.from(file, llama),
    trainContext: Number.isSafeInteger(trained) && trained! > 0 ? trained! : Infinity,
    kvBytesPerToken: kvBytesOf(file.architectureMetadata),
  };
}

/** Tokens of context wanted for each slot. */
export function contextWanted({ context }: EngineOptions, trainContext: number): number {
  return context ?? Math.min(trainContext, DEFAULT_CONTEXT);
}

/** Tokens of one step at most. */
export function batchSizeFor({ backend }: EngineOptions, slots: number): number {
  return Math.max(backend === false ? BATCH.cpu : BATCH.gpu, 2 * slots);
}

/** @throws {AltLasError} `out_of_memory` when not even one slot fits */
export async function planModel(llama: Llama, header: ModelHeader, options: EngineOptions): Promise<MemoryPlan> {
  const gpus = llama.gpu === false ? 0 : (await llama.getGpuDeviceNames()).length;
  const gpuLayers = llama.gpu === false ? 0 : header.insights.totalLayers;
  const weights = await header.insights.estimateModelResourceRequirementsV2({ gpuLayers });
  return planMemory({
    what: `The model file ${options.model}`,
    weights: onDevice(options, weights),
    rest: (context, slots) => restOf(header, options, { context, slots, gpus, gpuLayers }),
    budget: await budgetOf(llama, options),
    context: contextWanted(options, header.trainContext),
    minContext: options.minContext,
    slots: options.slots,
  });
}

interface Room {
  readonly context: number;
  readonly slots: number;
  /** How many GPUs hold the model together; 0: it is on the CPU. */
  readonly gpus: number;
  readonly gpuLayers: number;
}

async function restOf({ insights, kvBytesPerToken }: ModelHeader, options: EngineOptions, room: Room): Promise<Rest> {
  const bytes = await insights.estimateContextResourceRequirementsV2({
    contextSize: room.context,
    sequences: room.slots,
    batchSize: batchSizeFor(options, room.slots),
    modelGpuLayers: room.gpuLayers,
    // What node-llama-cpp makes of its defaults when the context is made.
    flashAttention: insights.flashAttentionSupported ? "auto" : false,
  });
  const kvCache = Math.min(kvBytesPerToken * room.context * room.slots, onDevice(options, bytes));
  const buffers = onDevice(options, bytes) - kvCache;
  // Never less than llama.cpp's own buffers: the earlier load may have had smaller ones.
  return { kvCache, overhead: Math.max(buffers, options.measuredOverhead ?? buffers + room.gpus * DRIVER_BYTES) };
}

function onDevice({ backend }: EngineOptions, { cpuRam, gpuVram }: GgufInsightsResourceRequirements): number {
  return backend === false ? cpuRam : gpuVram;
}

async function budgetOf(llama: Llama, { memoryBudget, memoryShare }: EngineOptions): Promise<number | null> {
  if (memoryBudget !== null || llama.gpu === false) return memoryBudget;
  const { total, free } = await llama.getVramState();
  return total > 0 ? Math.floor(free * memoryShare) : null;
}

/** A key and a value of two bytes a number, for each head of each layer. */
function kvBytesOf(shape: ModelShape): number {
  const { attention, block_count: layers = 0, embedding_length: width = 0 } = shape;
  const heads = attention?.head_count ?? 0;
  const kvHeads = attention?.head_count_kv ?? heads;
  const headSize = heads > 0 ? width / heads : 0;
  const numbersPerHead = (attention?.key_length ?? headSize) + (attention?.value_length ?? headSize);
  const allHeads = Array.isArray(kvHeads) ? kvHeads.reduce((sum, count) => sum + count, 0) : kvHeads * layers;
  const bytes = 2 * allHeads * numbersPerHead;
  // A header may have anything in it; llama.cpp refuses what makes no sense.
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : 0;
}

type ModelShape = GgufInsights["ggufFileInfo"]["architectureMetadata"];
