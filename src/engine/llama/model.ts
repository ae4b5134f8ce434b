/** Opens a GGUF file for generation, and says in one sentence why it could not be opened. */
import { ADD_GPU } from "../../common/paste.ts";
import { basename } from "node:path";
import {
  getLlama,
  type Llama,
  type LlamaContext,
  LlamaLogLevel,
  type LlamaModel,
  NoBinaryFoundError,
} from "node-llama-cpp";
import { messageOf } from "../../errors.ts";
import { EngineFailure } from "../failures.ts";
import { CAPABILITIES, type Capability, SAMPLING_NAMES } from "../../request.ts";
import type { EngineInfo, EngineOptions, KvCacheType } from "../engine.ts";
import { type ChatTemplate, templateOf } from "./chat-template.ts";
import { Decoder } from "./decoder.ts";
import { Embeddings } from "./embeddings.ts";
import { ErrorLog } from "./error-log.ts";
import { modelNameOf, KV_CACHE, kvBytesPerToken, type ModelHeader, readHeader } from "./header.ts";
import { Grammars } from "./grammars.ts";
import { Logits } from "./logits.ts";
import { Prompts } from "./prompt.ts";
import { type EmbeddingPlan, planEmbeddings, planModel } from "./memory.ts";
import { batchSizeFor } from "./batch.ts";
import { flashAttentionFor, kvCacheTypesFor, rawSetting, settingsOf, threadsFor } from "./settings.ts";
import { whyNoBuild } from "./no-build.ts";
import { type MemoryPlan, slotsOf } from "../memory-plan.ts";
import { checkFile } from "./model-file.ts";
import { Tokenizer } from "./tokenizer.ts";
import { UserTokens } from "./user-tokens.ts";
import { Vocabulary } from "./vocabulary.ts";

/** Of `enum llama_pooling_type`. */
const RANKING = 4;

/** llama.cpp's LLAMA_MAX_SEQ. */
const MAX_SLOTS = 256;

const NO_GPU_BUILD = `its build for that is not installed (${ADD_GPU} installs it), or does not run on this machine`;

export interface OpenModel {
  readonly llama: Llama;
  readonly model: LlamaModel;
  /** Of the tasks that generate; null: the model makes vectors alone. */
  readonly context: LlamaContext | null;
  /** null: memory is not enough for them. */
  readonly embeddings: Embeddings | null;
  readonly vocabulary: Vocabulary;
  readonly prompts: Prompts;
  readonly grammars: Grammars;
  /** Both of the context; null: there is none. */
  readonly decoder: Decoder | null;
  readonly logits: Logits | null;
  readonly info: EngineInfo & { readonly context: number };
  readonly log: ErrorLog;
}

/** Needed at every step of opening one model. */
export interface Opening {
  readonly llama: Llama;
  readonly options: EngineOptions;
  readonly signal: AbortSignal;
  readonly log: ErrorLog;
  /** How many GPUs will hold the model together, where another program opens them; absent: those of `llama`. */
  readonly gpus?: number;
}

/** How a load is followed. */
export interface LoadWatch {
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Hears which share of the model is loaded, 0 to 1. */
  readonly told?: ((share: number) => void) | undefined;
}

/**
 * Opens the model of `options` with one sequence for each slot, as many and as large as its memory allows.
 * @throws {EngineFailure} `model_error` or `out_of_memory`, with a sentence that names the file
 */
export async function openModel(options: EngineOptions, { signal, told }: LoadWatch): Promise<OpenModel> {
  await checkFile(options.model);
  const log = new ErrorLog();
  const llama = await openBackend(options, log);
  try {
    const opening = { llama, options, signal, log };
    const { header, plan } = await planLoad(opening);
    const vectors = await planEmbeddings(llama, header, options, plan);
    const model = await loadModel(opening, told);
    const made = header.generates
      ? await withSimplerType(plan, options, {
          make: (room) => createContext(opening, header, model, room),
          planFor: (types) => planModel(llama, header, options, types),
        })
      : { plan, context: null, refusedType: null };
    const { template, problem } = templateOf(llama, header);
    const tokenizer = new Tokenizer(model, new UserTokens(header), made.plan.context);
    const parts = { model, tokenizer, threads: threadsFor(options), log, stopping: signal };
    const embeddings = vectors === null ? null : new Embeddings({ ...parts, room: vectors.room });
    const vocabulary = new Vocabulary(model, template);
    const info = {
      ...(await describe(opening, model)),
      ...granted(header, made.plan, vectors),
      modelName: modelNameOf(header, options.model),
      capabilities: capabilitiesOf(header, template, embeddings !== null),
      honours: header.generates ? Object.values(SAMPLING_NAMES) : [],
      hasChatTemplate: template !== null,
      maxTokenBytes: vocabulary.maxTokenBytes,
      settings: [
        ...settingsOf({ ...made, options, header }),
        ...(header.generates ? [rawSetting(options, template !== null, problem)] : []),
      ],
    };
    const prompts = new Prompts(model, tokenizer, template, options.raw);
    return { ...generatorOf(llama, model, made.context), embeddings, vocabulary, prompts, info, log };
  } catch (error) {
    await llama.dispose();
    throw error;
  }
}

function generatorOf(llama: Llama, model: LlamaModel, context: LlamaContext | null) {
  const logits = context === null ? null : new Logits(model, context);
  const decoder = context === null ? null : new Decoder(context);
  return { llama, model, context, decoder, logits, grammars: new Grammars(llama, model) };
}

/** Gives the memory back; the order matters, each part lives in the one after it. */
export async function closeModel({ context, embeddings, model, llama, logits }: OpenModel): Promise<void> {
  logits?.dispose();
  await embeddings?.dispose();
  await context?.dispose();
  await model.dispose();
  await llama.dispose();
}

export async function openBackend(options: EngineOptions, log: ErrorLog): Promise<Llama> {
  const { backend } = options;
  const wanted = backend || "the CPU";
  const llama = await getLlama({
    gpu: backend,
    // Nothing is ever compiled or downloaded: what npm installed works, or the sentence says that it does not.
    build: "never",
    skipDownload: true,
    progressLogs: false,
    logLevel: LlamaLogLevel.error,
    logger: log.add,
    maxThreads: threadsFor(options),
  }).catch(async (error: unknown) => {
    const isAbsent = error instanceof NoBinaryFoundError;
    const reason = isAbsent ? new Error(backend ? NO_GPU_BUILD : whyNoBuild(), { cause: error }) : error;
    throw await log.failure(`llama.cpp could not be opened for ${wanted}`, reason);
  });
  if (llama.gpu === backend) return llama;
  const opened = llama.gpu || "the CPU";
  await llama.dispose();
  throw new EngineFailure("model_error", `llama.cpp was asked for ${wanted}, but it opened ${opened}.`);
}

/** Nothing but the file's header has been read when this has decided. */
export async function planLoad(opening: Opening): Promise<{ header: ModelHeader; plan: MemoryPlan }> {
  const { llama, options, signal, log, gpus } = opening;
  try {
    const header = await readHeader(llama, options.model, signal);
    checkWish(header, options);
    return { header, plan: await planModel(llama, header, options, kvCacheTypesFor(options, header), gpus) };
  } catch (error) {
    // A file that llama.cpp cannot build even without memory: the figures were a guess, and its complaint is the reason.
    const isGuess = error instanceof EngineFailure && error.code === "out_of_memory" && (await log.hasComplaints());
    const reason = isGuess ? new Error(error.message, { cause: error }) : explainHeader(error, signal);
    throw await log.failure(`The model file ${options.model} could not be loaded`, reason);
  }
}

/** Refuses what no amount of memory could give. */
function checkWish({ insights, trainContext }: ModelHeader, { model, context, slots }: EngineOptions): void {
  const { metadata, architectureMetadata, splicedParts } = insights.ggufFileInfo;
  const { split } = metadata as { readonly split?: { readonly count?: number } };
  checkParts(model, split?.count ?? 1, splicedParts);
  const { architecture } = metadata.general;
  const isRanking = architectureMetadata.pooling_type === RANKING;
  if (isRanking || architecture.startsWith("t5")) {
    const purpose = isRanking ? "is made to rank texts" : "has an encoder and a decoder";
    const sentence = `The model file ${model} (${architecture}) ${purpose}: it can neither generate text here nor make embeddings.`;
    throw new EngineFailure("model_error", sentence);
  }
  if (slots > MAX_SLOTS) {
    throw new EngineFailure("model_error", `${slots} slots were asked for, but llama.cpp has ${MAX_SLOTS} at most.`);
  }
  if (context === null || context <= trainContext) return;
  const sentence = `A context of ${context} tokens was asked for, but the model ${model} was trained for ${trainContext}.`;
  throw new EngineFailure("model_error", sentence);
}

/** llama.cpp finds the parts of a model by their names only. */
function checkParts(model: string, told: number, found: number): void {
  if (told === found) return;
  const parts = told === 1 ? "is whole" : `is one of ${told} parts`;
  const named = found === 1 ? "not named like one of several" : `named like one of ${found}`;
  throw new EngineFailure(
    "model_error",
    `The model file ${model} ${parts}, but ${named}: its name should be as it was made.`,
  );
}

async function loadModel(
  { llama, options, signal, log }: Opening,
  told: (share: number) => void = () => {},
): Promise<LlamaModel> {
  return llama
    .loadModel({
      modelPath: options.model,
      gpuLayers: options.backend === false ? 0 : "max",
      // The plan has decided, and the allocation is the judge: node-llama-cpp would refuse what the plan allows.
      ignoreMemorySafetyChecks: true,
      loadSignal: signal,
      onLoadProgress: told,
    })
    .catch(async (error: unknown) => {
      throw await log.failure(`The model file ${options.model} could not be loaded`, explainHeader(error, signal));
    });
}

/** node-llama-cpp reads the file's header before llama.cpp does, and stumbles over a bad one with any kind of exception. */
function explainHeader(error: unknown, signal: AbortSignal): unknown {
  const isClear = error instanceof EngineFailure || messageOf(error) === "Failed to load model";
  if (isClear || signal.aborted) return error;
  return new Error(`its header is damaged or cut short (${messageOf(error)})`, { cause: error });
}

/** The result of a plan, and the next plan to try. */
export interface Making<Context> {
  readonly make: (plan: MemoryPlan) => Promise<Context>;
  readonly planFor: (kvCacheTypes: readonly KvCacheType[]) => Promise<MemoryPlan>;
}

/** Which types of KV cache the device can compute with shows only when they are made: one that nobody asked for must not be the end. */
export async function withSimplerType<Context>(
  plan: MemoryPlan,
  { tuning }: Pick<EngineOptions, "tuning">,
  { make, planFor }: Making<Context>,
): Promise<{ plan: MemoryPlan; context: Context; refusedType: string | null }> {
  try {
    return { plan, context: await make(plan), refusedType: null };
  } catch (error) {
    if (tuning.kvCacheType !== null || plan.kvCacheType === "f16") throw error;
    const simpler = await planFor(["f16"]);
    const refusedType = `${plan.kvCacheType} was refused: ${messageOf(error)}`;
    return { plan: simpler, context: await make(simpler), refusedType };
  }
}

async function createContext(
  { options, signal, log }: Opening,
  header: ModelHeader,
  model: LlamaModel,
  { context, slots, kvCacheType }: MemoryPlan,
): Promise<LlamaContext> {
  const type = KV_CACHE[kvCacheType];
  return model
    .createContext({
      contextSize: context,
      sequences: slots,
      batchSize: batchSizeFor(options, slots),
      threads: threadsFor(options),
      flashAttention: flashAttentionFor(options, header),
      experimentalKvCacheKeyType: type,
      experimentalKvCacheValueType: type,
      // Never a smaller context than the one promised.
      failedCreationRemedy: false,
      ignoreMemorySafetyChecks: true,
      createSignal: signal,
    })
    .catch(async (error: unknown) => {
      const room = `${slotsOf(slots)} of ${context} tokens with a KV cache of ${kvCacheType}`;
      throw await log.failure(`The model file ${options.model} was loaded, but ${room} could not be made`, error);
    });
}

async function describe({ llama, options }: Opening, model: LlamaModel) {
  const devices = llama.gpu === false ? [] : await llama.getGpuDeviceNames();
  return {
    model: model.fileInfo.metadata.general.name ?? basename(options.model),
    devices,
    device: llama.gpu === false ? "CPU" : devices.join(", "),
    backend: llama.gpu || "cpu",
  };
}

function granted(
  header: ModelHeader,
  { context, slots, memory, note, kvCacheType }: MemoryPlan,
  vectors: EmbeddingPlan | null,
) {
  const none = vectors === null ? "None is left for embeddings." : null;
  return {
    context,
    slots,
    memory: { ...memory, overhead: memory.overhead + (vectors?.bytes ?? 0) },
    memoryNote: none === null ? note : `${note ?? "Memory is just enough."} ${none}`,
    kvBytesPerToken: kvBytesPerToken(header, kvCacheType),
  };
}

function capabilitiesOf(
  { generates }: ModelHeader,
  template: ChatTemplate | null,
  embeds: boolean,
): readonly Capability[] {
  const all: Partial<Record<Capability, boolean>> = {
    chat: generates && template !== null,
    tools: generates && (template?.tools ?? null) !== null,
    completion: generates,
    embedding: embeds,
    json_schema: generates,
    logprobs: generates,
  };
  return CAPABILITIES.filter((capability) => all[capability] === true);
}
