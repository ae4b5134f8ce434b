/**
 * An engine generates text, and makes vectors of texts, inside a worker. One engine serves one GPU.
 *
 * Promises every implementation keeps (test/engine-conformance.test.ts):
 *  1. `generate` may be called up to `slots` times at once; the calls are decoded together and none waits for another to end.
 *  2. The deltas emitted add up to what was generated; none splits a character. The text of one may be "" when no character is whole yet.
 *  3. `generate` settles exactly once. When its signal aborts it resolves with `finishReason: "canceled"`, and only after its slot is free:
 *     at the end of the step that was going on, before the next one. A call of `generate` that comes then is part of that next one.
 *  4. A prompt that leaves no room for one token rejects with `prompt_too_long`, naming both numbers, before anything is emitted.
 *  5. `stop` ends everything that runs and releases the memory; calling it twice is harmless.
 *  6. `load` checks the memory before it takes it: what does not fit gets a smaller context, then fewer slots, or is refused.
 *  7. `progress` grows while the engine works on its tasks, and stands still while it does not.
 *  8. `countTokens`, where it is there, counts what `generate` tells at its beginning.
 *  9. An engine that computes elsewhere never lets a task wait there for ever. `generate` rejects with `gpu_full` when the server is full
 *     now, and with `gpu_lost` when the task was cut off by no fault of its own. When the server is lost for good, `gone` resolves first.
 */
import type { Delta } from "../output.ts";
import {
  type Capability,
  completionOf,
  type CompletionRequest,
  NO_SAMPLING,
  type Request,
  type SamplingName,
  type TextRequest,
} from "../request.ts";
import type { FinishReason } from "../task.ts";
import type { EngineKind } from "./kinds.ts";

/** Types of the numbers in the KV cache, by llama.cpp's names. */
export const KV_CACHE_TYPES = ["f16", "q8_0", "q4_0"] as const;
export type KvCacheType = (typeof KV_CACHE_TYPES)[number];

/** How to open a model on one device. */
export interface EngineOptions {
  readonly kind: EngineKind;
  /** Path of the GGUF file; for `openai` the server's name of the model, "" for the one that it serves. Unused by the simulated engine. */
  readonly model: string;
  /** Tokens of context wanted for each slot; null: the smaller of what the model was trained for and 8,192. */
  readonly context: number | null;
  /** Whether a text is continued as it is where its request does not say; else it is a user's message, if the model has a chat template. */
  readonly raw: boolean;
  /** When memory is short, the number of slots is cut before the context of each falls below so many tokens. */
  readonly minContext: number;
  /** Slots wanted: sequences that are decoded at once. */
  readonly slots: number;
  /** Bytes that this engine may take on its device; null: not known, then `memoryShare` of what the device says is free. */
  readonly memoryBudget: number | null;
  /** The share, 0 to 1, of its device's free memory to use where no budget is given. A CPU then has no limit. */
  readonly memoryShare: number;
  /**
   * Bytes that an earlier load of this model, with these slots and this context, took beyond what `EngineInfo.memory` gives for weights
   * and KV cache; null: none was measured.
   */
  readonly measuredOverhead: number | null;
  /** The devices that llama.cpp computes on: `false` is the CPU. */
  readonly backend: "cuda" | "vulkan" | "metal" | false;
  readonly tuning: Tuning;
  /** Of `llama-server`: the program, by its path or by a name that is looked for on PATH. */
  readonly binary: string;
  /** Of `openai`, else null. */
  readonly upstream: UpstreamOptions | null;
  /** Of engines that ask a server. */
  readonly patience: Patience;
  readonly simulated: SimulatedOptions;
}

/** The engine of a device, as it is configured; what the device adds is known when a worker starts. */
export interface DeviceEngine extends Pick<EngineOptions, "binary" | "upstream" | "patience"> {
  readonly kind: EngineKind;
  /** Path of the GGUF file; for `openai` the server's name of the model, "" for the one that it serves. */
  readonly model: string;
  /** Tokens for each slot; null: as the model has it. */
  readonly context: number | null;
  /** Tokens for each slot. */
  readonly minContext: number;
  /** Whether a text is continued as it is where its request does not say. */
  readonly raw: boolean;
  /** The configured value; how many cores are a device's own is not known here. */
  readonly tuning: Omit<Tuning, "cores">;
}

/** How llama.cpp computes; null: the engine chooses, from the model, the device and its memory. */
export interface Tuning {
  /** CPU threads to compute with. */
  readonly threads: number | null;
  /** CPU cores for this device: one is left for the server, the others are divided among the devices. */
  readonly cores: number;
  /** The most tokens of prompts in one step beside tasks that generate. */
  readonly prefillChunk: number;
  /** The most tokens in one step. */
  readonly batchSize: number | null;
  readonly flashAttention: boolean | null;
  readonly kvCacheType: KvCacheType | null;
}

/** A server that runs already. */
export interface UpstreamOptions {
  /** Like `http://10.0.0.5:8000`, with or without a path. */
  readonly url: string;
  /** null: none is sent. */
  readonly apiKey: string | null;
}

/** How long a server may take; seconds. */
export interface Patience {
  /** Until it has to begin its answer to a task. */
  readonly firstByte: number;
  /** Between two pieces of an answer. */
  readonly token: number;
}

export interface SimulatedOptions {
  /** For each slot; 0: as fast as the process can. */
  readonly tokens_per_second: number;
  readonly load_seconds: number;
  /** Tokens. */
  readonly context: number;
  /** Bytes of weights it pretends to need. */
  readonly memory_bytes: number;
  /** Simulated failures, and when they happen; see simulated/simulated.ts. */
  readonly failures: readonly SimulatedFailure[];
  /** The first that is for a GPU says what is there; absent, or none is: one called "simulated" that can do all that is simulated. */
  readonly models?: readonly SimulatedModel[];
}

/** The model that a simulated engine pretends to have. */
export interface SimulatedModel {
  /** Only on this GPU; absent: on all. */
  readonly gpu_id?: number;
  /** Its name in requests. */
  readonly name?: string;
  readonly capabilities?: readonly SimulatedCapability[];
}

export const SIMULATED_CAPABILITIES = [
  "chat",
  "completion",
  "embedding",
  "json_schema",
  "tools",
  "logprobs",
] as const satisfies readonly Capability[];
export type SimulatedCapability = (typeof SIMULATED_CAPABILITIES)[number];

export const SIMULATED_FAILURES = [
  "load_error",
  "crash",
  "hang",
  "stall",
  "error",
  "out_of_memory",
  "ignore_cancel",
  "full",
  "cut_off",
] as const;

/** One entry of the simulated engine's failure script. */
export interface SimulatedFailure {
  /**
   * `load_error`: loading fails; `crash`: the process dies; `hang`: the process stops answering; `stall`: no task makes progress, while the
   * process still answers, as with a GPU that hangs; `error`: the task fails; `out_of_memory`: the task fails for lack of memory;
   * `ignore_cancel`: the task goes on as if nothing were wrong, but from then on it cannot be canceled; `full`: the GPU is full, as a
   * server behind it may say; `cut_off`: the task is cut off by no fault of its own.
   */
  readonly kind: (typeof SIMULATED_FAILURES)[number];
  /** Only on this GPU; absent: on all. */
  readonly gpu_id?: number;
  /** Only for prompts that contain this; absent: for every prompt. Not used by `load_error`. */
  readonly when_text_contains?: string;
  /** Tokens the task has generated when it happens; default 0. */
  readonly after_tokens?: number;
}

/** The effect of the failures `crash` and `hang` on the worker in which the engine runs. */
export interface SimulatedFaults {
  crash(): void;
  hang(): void;
}

/** Facts that an engine found out while loading. */
export interface EngineInfo {
  /** The model's name, for people. */
  readonly model: string;
  /** The model's name in requests, before the pool makes the names of several models unique. */
  readonly modelName: string;
  /** The capabilities of the model here; never empty. */
  readonly capabilities: readonly Capability[];
  /** The sampling fields that are honoured, beside `max_length`, `temperature` and, where there are seeds, `seed`. */
  readonly honours: readonly SamplingName[];
  /** Whether the model has a chat template; null: the server behind it does not tell. */
  readonly hasChatTemplate: boolean | null;
  /** Tokens of context for each slot, as they were made; null: the server behind it does not tell. */
  readonly context: number | null;
  /** Slots, as they were made. */
  readonly slots: number;
  /** One sentence, if memory was too small for the context or the slots wanted; else null. */
  readonly memoryNote: string | null;
  /** Bytes that were planned on the device; null: the engine takes none worth planning. */
  readonly memory: PlannedMemory | null;
  /** Bytes of KV cache one token takes at most, from the model's shape; 0 where there is none. */
  readonly kvBytesPerToken: number;
  /** Bytes of the vocabulary's longest token: a text of n bytes has at least n / this many tokens. */
  readonly maxTokenBytes: number;
  /** The accelerators it opened, by the names its library gives them; none for a CPU and for the simulated engine. */
  readonly devices: readonly string[];
  /** The device that it really runs on, as the engine tells it, for people. */
  readonly device: string;
  readonly backend: string;
  /** How it computes, and why so. */
  readonly settings: readonly EngineSetting[];
}

/** One thing that an engine was told or has chosen. */
export interface EngineSetting {
  /** Its key in the configuration, like `threads`. */
  readonly name: string;
  readonly value: string | number;
  /** The cause; part of a sentence, like `the configuration says so`. */
  readonly reason: string;
}

/** Figures that a server behind an engine reports; null: it does not tell. */
export interface UpstreamFigures {
  /** Requests that it works on, by everybody. */
  readonly running: number | null;
  /** Requests that wait there. */
  readonly waiting: number | null;
  /** Share of its KV cache that is in use, 0 to 1. */
  readonly kvCacheUse: number | null;
  /** Requests that it can work on at once; 0: it serves nobody now. */
  readonly slots: number | null;
  /** Requests of this engine that may be counted there, as the server's figures are a little behind. */
  readonly ours: number;
}

/** Why an engine cannot go on and has to be opened anew. */
export interface EngineEnd {
  /** One sentence. */
  readonly sentence: string;
  /** Whether one of the tasks may be the cause, as with a process that died; else the connection to it failed. */
  readonly crashed: boolean;
  /** It computed nonsense: the device fails, or one of the tasks is the cause. Absent: it did not. */
  readonly nonsense?: boolean;
}

/** Bytes, by what takes them. */
export interface PlannedMemory {
  readonly weights: number;
  readonly kvCache: number;
  /** Compute buffers, and what the driver takes for itself. */
  readonly overhead: number;
}

/** Bytes of a device's memory, by everybody. Of several devices that hold one model together: their sums. */
export interface DeviceMemory {
  readonly total: number;
  readonly used: number;
  readonly free: number;
}

/** One request, with the callbacks that hear of it. */
export interface Generation {
  readonly request: Request;
  readonly signal: AbortSignal;
  /** The user who asks, where the answer has a form: the forms of several users are made in turns. Absent: nobody in particular. */
  readonly by?: string;
  /** Called once, before anything is emitted, with the number of tokens the prompt has; null: that is not known yet. */
  readonly begin?: (promptTokens: number | null) => void;
  /** Called for each delta, with the number of tokens it took. */
  readonly emit: (delta: Delta, tokens: number) => void;
}

/** The smallest request, which every engine that works and can continue a text can answer, whatever its model's chat template is. */
export const PROOF: CompletionRequest = { ...completionOf("Hello", { maxTokens: 1, temperature: 0 }), raw: true };

/** The smallest request of each kind. */
export const PROOF_OF: Readonly<Record<Request["kind"], Request>> = {
  completion: PROOF,
  chat: { kind: "chat", messages: [{ role: "user", content: PROOF.text }], sampling: PROOF.sampling },
  embedding: { kind: "embedding", inputs: [PROOF.text], sampling: NO_SAMPLING },
};

/** The smallest request that an engine which works can answer, whatever its model is for. */
export function proofFor({ capabilities }: Pick<EngineInfo, "capabilities">): Request {
  const can = (["completion", "chat", "embedding"] as const).find((kind) => capabilities.includes(kind));
  return PROOF_OF[can ?? "completion"];
}

export function proofUntil(signal: AbortSignal, request: Request = PROOF): Generation {
  return { request, signal, emit: () => {} };
}

export interface GenerateOutcome {
  readonly finishReason: Exclude<FinishReason, "timeout">;
  /** null: the server behind the engine does not tell. */
  readonly promptTokens: number | null;
  readonly completionTokens: number;
  /** Tokens of the prompt that did not have to be computed, because the KV cache held them already; null: not told. */
  readonly cachedTokens: number | null;
}

export interface Engine {
  /** A count that grows with every token generated and every piece of a prompt taken in. */
  readonly progress: number;
  /** The last figures of the server behind it; null, or absent: there is none, or it has reported nothing. */
  readonly upstream?: UpstreamFigures | null;
  /** Process id of a server that it has started itself, whose memory and time are its own; null, or absent: there is none. */
  readonly serverPid?: number | null;
  /** Whether all that it generates follows the grammar of the form that was asked for; absent: answers are to be checked. */
  readonly followsGrammars?: boolean;
  /** Resolves when it cannot go on; absent: only its process can fail. */
  readonly gone?: Promise<EngineEnd>;
  /**
   * Opens the model.
   * @param told hears which share of the model is loaded, 0 to 1, from engines that know it
   * @throws {EngineFailure} `model_error` or `out_of_memory`, with a sentence that names the file; `gpu_lost`: try again later
   */
  load(told?: (share: number) => void): Promise<EngineInfo>;
  /** The memory of its device, as the engine's own library tells it; null: it has no device of its own, or does not tell. */
  deviceMemory(): Promise<DeviceMemory | null>;
  /**
   * @throws {EngineFailure} `prompt_too_long`, `invalid_input`, `unsupported`, `model_error`, `out_of_memory`, `gpu_full` (with
   * `retryAfter`) or `gpu_lost`
   */
  generate(generation: Generation): Promise<GenerateOutcome>;
  /**
   * Tokens of a prompt, also of one that leaves no room; absent: only a run tells.
   * @throws {EngineFailure} `invalid_input`, `unsupported`, `model_error`
   */
  countTokens?(request: TextRequest): Promise<number>;
  stop(): Promise<void>;
}
