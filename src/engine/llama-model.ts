/** Opens a GGUF file for generation, and says in one sentence why it could not be opened. */
import { open } from "node:fs/promises";
import { basename } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import {
  type BatchingOptions,
  getLlama,
  InsufficientMemoryError,
  type Llama,
  type LlamaContext,
  LlamaLogLevel,
  type LlamaModel,
  NoBinaryFoundError,
} from "node-llama-cpp";
import { AltLasError, messageOf } from "../errors.ts";
import { type EngineInfo, type EngineOptions } from "./engine.ts";
import { Vocabulary } from "./vocabulary.ts";

/** Tokens of context for each slot when the configuration names none, and the model was trained for more. */
const DEFAULT_CONTEXT = 8192;

/**
 * Tokens decoded in one step at most. All slots wait for a step, so a long prompt goes in pieces of about this size:
 * on a CPU a bigger piece gains nothing and makes the neighbours stutter.
 */
const BATCH = { cpu: 128, gpu: 512 };

/** llama.cpp's LLAMA_MAX_SEQ. */
const MAX_SLOTS = 256;

const MAGIC = "GGUF";
const NO_MEMORY = /out of memory|not enough memory|failed to allocate|unable to allocate|bad_alloc|KV slot/i;

const NO_BINARY = "its build for that is not installed (npm run add-gpu installs it), or does not run on this machine";

export interface OpenModel {
  readonly llama: Llama;
  readonly model: LlamaModel;
  readonly context: LlamaContext;
  readonly vocabulary: Vocabulary;
  readonly info: EngineInfo;
  readonly log: ErrorLog;
}

/** The last things llama.cpp complained about: the exceptions that reach JavaScript rarely say why. */
export class ErrorLog {
  #lines: string[] = [];

  readonly add = (level: LlamaLogLevel, message: string): void => {
    const line = message.trim();
    const serious = level === LlamaLogLevel.error || level === LlamaLogLevel.fatal;
    if (serious && line !== "") this.#lines = [...this.#lines, line].slice(-8);
  };

  /** The failure for whatever was just thrown: `what` it means, and why. */
  async failure(what: string, error: unknown): Promise<AltLasError> {
    if (error instanceof AltLasError) return error;
    // The binding delivers llama.cpp's lines through the event loop, so they come after the exception they explain.
    await nextTurn();
    await nextTurn();
    const lines = this.#lines;
    // Kept until all that failed in the same step have read them.
    setImmediate(() => (this.#lines = []));
    const why = reasonOf(messageOf(error), lines);
    const noMemory = error instanceof InsufficientMemoryError || NO_MEMORY.test(why);
    return new AltLasError(noMemory ? "out_of_memory" : "model_error", `${what}: ${why}.`, { cause: error });
  }
}

/** What llama.cpp logged, without its own functions' names and its "failed to load model"; else what the exception says. */
function reasonOf(message: string, lines: readonly string[]): string {
  const said = lines
    .map((line) => line.replace(/^([a-z_0-9]+: )+(error loading model: )?/, "").replace(/\.$/, ""))
    .filter((line) => !/^failed to (load model|initialize the context)$/.test(line));
  return said.length > 0 ? [...new Set(said)].join("; ") : message.replace(/\.$/, "");
}

/**
 * Opens the model of `options` with one sequence for each slot.
 * @throws {AltLasError} `model_error` or `out_of_memory`, with a sentence that names the file
 */
export async function openModel(options: EngineOptions, signal: AbortSignal): Promise<OpenModel> {
  await checkFile(options.model);
  const log = new ErrorLog();
  const llama = await openBackend(options, log);
  try {
    const model = await loadModel(llama, options, signal, log);
    const context = await createContext(model, options, signal, log);
    const vocabulary = new Vocabulary(model);
    const info = await describe(llama, model, vocabulary, options);
    return { llama, model, context, vocabulary, info, log };
  } catch (error) {
    await llama.dispose();
    throw error;
  }
}

/** Gives the memory back; the order matters, each part lives in the one after it. */
export async function closeModel({ context, model, llama }: OpenModel): Promise<void> {
  await context.dispose();
  await model.dispose();
  await llama.dispose();
}

/** Catches the everyday mistakes, for which llama.cpp's own words are hard to understand. */
async function checkFile(path: string): Promise<void> {
  const start = await readStart(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") throw new AltLasError("model_error", `The model file ${path} does not exist.`);
    throw new AltLasError("model_error", `The model file ${path} cannot be read: ${error.message}.`, { cause: error });
  });
  if (start.length === 0) throw new AltLasError("model_error", `The model file ${path} is empty.`);
  const text = start.toString("latin1");
  if (text === MAGIC) return;
  const shown = /^[ -~]+$/.test(text) ? `"${text}"` : `the bytes ${start.toString("hex")}`;
  throw new AltLasError("model_error", `The model file ${path} is not a GGUF file: it starts with ${shown}.`);
}

async function readStart(path: string): Promise<Buffer> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(MAGIC.length) });
  return buffer.subarray(0, bytesRead);
}

async function openBackend({ backend, threads }: EngineOptions, log: ErrorLog): Promise<Llama> {
  const wanted = backend || "the CPU";
  const llama = await getLlama({
    gpu: backend,
    // Nothing is ever compiled or downloaded: what npm installed works, or the sentence says that it does not.
    build: "never",
    skipDownload: true,
    progressLogs: false,
    logLevel: LlamaLogLevel.error,
    logger: log.add,
    maxThreads: threads,
  }).catch(async (error: unknown) => {
    const reason = error instanceof NoBinaryFoundError ? new Error(NO_BINARY, { cause: error }) : error;
    throw await log.failure(`llama.cpp could not be opened for ${wanted}`, reason);
  });
  if (llama.gpu === backend) return llama;
  const opened = llama.gpu || "the CPU";
  await llama.dispose();
  throw new AltLasError("model_error", `llama.cpp was asked for ${wanted}, but it opened ${opened}.`);
}

async function loadModel(llama: Llama, options: EngineOptions, signal: AbortSignal, log: ErrorLog) {
  const onGpu = options.backend !== false;
  const model = await llama
    .loadModel({
      modelPath: options.model,
      gpuLayers: onGpu ? "max" : 0,
      // On a GPU the allocation itself is the judge, and it fails cleanly; the estimate refuses models that would fit.
      ignoreMemorySafetyChecks: onGpu,
      loadSignal: signal,
    })
    .catch(async (error: unknown) => {
      throw await log.failure(`The model file ${options.model} could not be loaded`, explainHeader(error, signal));
    });
  const architecture = model.fileInfo.metadata.general.architecture;
  // Anything else would crash or answer nonsense when asked for the next token.
  if (model.fileInfo.architectureMetadata.attention?.causal === false || architecture.startsWith("t5")) {
    throw new AltLasError("model_error", `The model file ${options.model} (${architecture}) cannot generate text.`);
  }
  return model;
}

/** node-llama-cpp reads the file's header before llama.cpp does, and stumbles over a bad one with any kind of exception. */
function explainHeader(error: unknown, signal: AbortSignal): unknown {
  const isClear = error instanceof InsufficientMemoryError || messageOf(error) === "Failed to load model";
  if (isClear || signal.aborted) return error;
  return new Error(`its header is damaged or cut short (${messageOf(error)})`, { cause: error });
}

async function createContext(model: LlamaModel, options: EngineOptions, signal: AbortSignal, log: ErrorLog) {
  const { backend, slots, threads } = options;
  if (slots > MAX_SLOTS) {
    throw new AltLasError("model_error", `${slots} slots were asked for, but llama.cpp has ${MAX_SLOTS} at most.`);
  }
  const contextSize = contextOf(model, options);
  const batchSize = Math.max(backend === false ? BATCH.cpu : BATCH.gpu, 2 * slots);
  return model
    .createContext({
      contextSize,
      sequences: slots,
      batchSize,
      threads,
      batching: { itemPrioritizationStrategy: inSlotOrder },
      // Never a smaller context than the one promised.
      failedCreationRemedy: false,
      ignoreMemorySafetyChecks: backend !== false,
      createSignal: signal,
    })
    .catch(async (error: unknown) => {
      const room = `${slots} slots of ${contextSize} tokens`;
      throw await log.failure(`The model file ${options.model} was loaded, but ${room} could not be made`, error);
    });
}

/**
 * Everything that waits goes into the batch, in the order of the slots: the caller never asks for more than fits.
 *
 * The order matters twice. llama.cpp decodes sequences together only where their numbers follow each other, so another order means
 * more passes over the weights. And when an order or a mixture makes it decode out of order, it swaps the results back when they
 * are first read; node-llama-cpp reads them from several threads at once, so that swap is a race, and tasks get each other's tokens.
 */
const inSlotOrder: BatchingOptions["itemPrioritizationStrategy"] = ({ items }) =>
  items
    .toSorted((a, b) => a.evaluationPriority - b.evaluationPriority)
    .map((item) => ({ item, processAmount: item.tokens.length }));

function contextOf(model: LlamaModel, { model: path, context }: EngineOptions): number {
  const trained = model.trainContextSize;
  if (context === null) return Math.min(trained, DEFAULT_CONTEXT);
  if (context <= trained) return context;
  const sentence = `A context of ${context} tokens was asked for, but the model ${path} was trained for ${trained}.`;
  throw new AltLasError("model_error", sentence);
}

async function describe(llama: Llama, model: LlamaModel, vocabulary: Vocabulary, options: EngineOptions) {
  return {
    model: model.fileInfo.metadata.general.name ?? basename(options.model),
    context: contextOf(model, options),
    slots: options.slots,
    kvBytesPerToken: kvBytesPerToken(model),
    maxTokenBytes: vocabulary.maxTokenBytes,
    device: llama.gpu ? (await llama.getGpuDeviceNames()).join(", ") : "CPU",
    backend: llama.gpu || "cpu",
  };
}

/** A key and a value of two bytes a number, for each head of each layer. */
function kvBytesPerToken({ fileInfo }: LlamaModel): number {
  const { attention, block_count: layers = 0, embedding_length: width = 0 } = fileInfo.architectureMetadata;
  const heads = attention?.head_count ?? 0;
  const kvHeads = attention?.head_count_kv ?? heads;
  const headSize = heads > 0 ? width / heads : 0;
  const numbersPerHead = (attention?.key_length ?? headSize) + (attention?.value_length ?? headSize);
  const allHeads = Array.isArray(kvHeads) ? kvHeads.reduce((sum, count) => sum + count, 0) : kvHeads * layers;
  return 2 * allHeads * numbersPerHead;
}
