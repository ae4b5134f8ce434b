/**
 * The memory that a GGUF file will take, found out before it is loaded.
 *
 * llama.cpp itself is asked: it builds the model and the context from the file's header without allocating them (`no_alloc`), and adds
 * up the buffers it would have made. So the figures hold for every architecture, sliding windows and recurrent layers included. For a
 * file that llama.cpp cannot build that way, node-llama-cpp estimates them from the header; then loading it tells what is wrong.
 *
 * Weights on a CPU count fully, although they are mapped and the system may drop parts of them: each token reads them all.
 */
import type { GgufInsightsResourceRequirements, Llama } from "node-llama-cpp";
import type { EngineOptions, KvCacheType } from "../engine.ts";
import type { EmbeddingRoom } from "./embeddings.ts";
import { KV_CACHE, kvBytesPerToken, type ModelHeader } from "./header.ts";
import { batchSizeFor } from "./batch.ts";
import { contextWanted, flashAttentionFor } from "./settings.ts";
import { type MemoryPlan, planMemory, type Rest, type Room } from "../memory-plan.ts";

/**
 * Bytes that a driver takes of each GPU for a process beside what llama.cpp allocates: its context, its kernels, its libraries' work space.
 * A guess, on the large side of what CUDA takes; what an earlier load was seen to take replaces it.
 */
const DRIVER_BYTES = 512 * 2 ** 20;

/** Tokens of an input, and of one decode, where vectors are not what the model is for: more would take memory that hardly anybody uses. */
const SMALL_ROOM = { context: 2048, batchSize: 128 };

/**
 * @param kvCacheTypes those that the KV cache may have, the best first
 * @param gpus how many GPUs will hold the model together, where another program opens them and `llama` is on the CPU; absent: those of `llama`
 * @throws {EngineFailure} `out_of_memory` when not even one slot fits
 */
export async function planModel(
  llama: Llama,
  header: ModelHeader,
  options: EngineOptions,
  kvCacheTypes: readonly KvCacheType[],
  gpus?: number,
): Promise<MemoryPlan> {
  const own = llama.gpu === false ? 0 : (await llama.getGpuDeviceNames()).length;
  const gpuLayers = llama.gpu === false ? 0 : header.insights.totalLayers;
  const weights = await header.insights.estimateModelResourceRequirementsV2({ gpuLayers });
  return planMemory({
    what: `The model file ${options.model}`,
    weights: onDevice(gpuLayers, weights),
    rest: (room) => restOf(header, options, { ...room, gpus: gpus ?? own, gpuLayers }),
    budget: await budgetOf(llama, options),
    context: contextWanted(options, header.trainContext),
    minContext: options.minContext,
    slots: options.slots,
    kvCacheTypes,
  });
}

interface DeviceRoom extends Room {
  /** How many GPUs hold the model together; 0: it is on the CPU. */
  readonly gpus: number;
  readonly gpuLayers: number;
}

async function restOf(header: ModelHeader, options: EngineOptions, room: DeviceRoom): Promise<Rest> {
  const type = KV_CACHE[room.kvCacheType];
  const sequences = sequencesOf(header, options, room.slots);
  const bytes = await header.insights.estimateContextResourceRequirementsV2({
    ...(header.generates
      ? { contextSize: room.context, batchSize: batchSizeFor(options, room.slots) }
      : embeddingShape(wholeInputs(room.context))),
    sequences,
    modelGpuLayers: room.gpuLayers,
    flashAttention: flashAttentionFor(options, header),
    kvCacheKeyType: type,
    kvCacheValueType: type,
  });
  const kvBytes = kvBytesPerToken(header, room.kvCacheType) * room.context * sequences;
  const kvCache = Math.min(kvBytes, onDevice(room.gpuLayers, bytes));
  const buffers = onDevice(room.gpuLayers, bytes) - kvCache;
  // Never less than llama.cpp's own buffers: the earlier load may have had smaller ones.
  return { kvCache, overhead: Math.max(buffers, options.measuredOverhead ?? buffers + room.gpus * DRIVER_BYTES) };
}

/** The embedded engine makes one vector at a time; a server one in each of its slots. */
function sequencesOf({ generates }: ModelHeader, { kind }: EngineOptions, slots: number): number {
  return generates || kind !== "llama" ? slots : 1;
}

export interface EmbeddingPlan {
  readonly room: EmbeddingRoom;
  /** Bytes that it takes beside the rest, once a vector has been asked for. */
  readonly bytes: number;
}

/**
 * Room for vectors. A model that generates has a small one beside its slots, where memory is enough; they are never cut for it.
 * @returns null: there is none
 */
export async function planEmbeddings(
  llama: Llama,
  header: ModelHeader,
  options: EngineOptions,
  { context, needs }: MemoryPlan,
): Promise<EmbeddingPlan | null> {
  if (!header.generates) return { room: wholeInputs(context), bytes: 0 };
  const room = {
    context: Math.min(context, SMALL_ROOM.context),
    batchSize: Math.min(batchSizeFor(options, 1), SMALL_ROOM.batchSize),
  };
  const gpuLayers = llama.gpu === false ? 0 : header.insights.totalLayers;
  const estimate = await header.insights.estimateContextResourceRequirementsV2({
    ...embeddingShape(room),
    sequences: 1,
    modelGpuLayers: gpuLayers,
    flashAttention: flashAttentionFor(options, header),
  });
  const bytes = onDevice(gpuLayers, estimate);
  const budget = await budgetOf(llama, options);
  return budget === null || needs + bytes <= budget ? { room, bytes } : null;
}

/** A model that is made for vectors has to see an input in one piece. */
function wholeInputs(context: number): EmbeddingRoom {
  return { context, batchSize: context };
}

function embeddingShape({ context, batchSize }: EmbeddingRoom) {
  return { contextSize: context + 1, batchSize, isEmbeddingContext: true };
}

function onDevice(gpuLayers: number, { cpuRam, gpuVram }: GgufInsightsResourceRequirements): number {
  return gpuLayers === 0 ? cpuRam : gpuVram;
}

async function budgetOf(llama: Llama, { memoryBudget, memoryShare }: EngineOptions): Promise<number | null> {
  if (memoryBudget !== null || llama.gpu === false) return memoryBudget;
  const { total, free } = await llama.getVramState();
  return total > 0 ? Math.floor(free * memoryShare) : null;
}
