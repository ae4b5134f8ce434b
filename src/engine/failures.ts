/** The failures that an engine reports, and their meaning for the task. */
import { type ErrorCode, messageOf } from "../errors.ts";
import type { CutOff, Outcome } from "../task.ts";

/** A failure ends either the task, with a code that its client reads, or only this run; then the task is tried elsewhere or later. */
type Meaning = { readonly fails: ErrorCode } | { readonly interrupts: CutOff["reason"] };

const FAILURES = {
  /** The model cannot be loaded, or cannot generate what was asked for. */
  model_error: { fails: "model_error" },
  /** The prompt leaves no room for a single token in the context. */
  prompt_too_long: { fails: "prompt_too_long" },
  /** The model's chat template refuses the messages. */
  invalid_input: { fails: "invalid_input" },
  /** The engine, or the model, cannot do what was asked for. Where that is known before, the request is refused before the queue. */
  unsupported: { fails: "unsupported" },
  /** The device has no memory left for the model, or for this task. */
  out_of_memory: { interrupts: "out_of_memory" },
  /** The device or the server that computes failed, or cannot be reached; the task is not the cause. */
  gpu_lost: { interrupts: "gpu_lost" },
  /** The server that computes is full now. */
  gpu_full: { interrupts: "gpu_full" },
} as const satisfies Readonly<Record<string, Meaning>>;

export type FailureCode = keyof typeof FAILURES;

export class EngineFailure extends Error {
  readonly code: FailureCode;
  /** Of `gpu_full`: seconds after which there may be room; undefined: not known. */
  readonly retryAfter: number | undefined;

  constructor(
    code: FailureCode,
    sentence: string,
    options: { readonly retryAfter?: number; readonly cause?: unknown } = {},
  ) {
    super(sentence, { cause: options.cause });
    this.name = "EngineFailure";
    this.code = code;
    this.retryAfter = options.retryAfter;
  }
}

/** The outcome of a run in which an engine failed. Only here an engine's codes become those of the API. */
export function outcomeOfFailure({ code, sentence, retryAfter }: ReportedFailure): Outcome {
  const meaning: Meaning = FAILURES[code];
  if ("fails" in meaning) return { status: "failed", error: { code: meaning.fails, sentence } };
  return {
    status: "interrupted",
    reason: meaning.interrupts,
    sentence,
    ...(retryAfter !== undefined && { retryAfter }),
  };
}

/** A failure, as a message carries it. */
export interface ReportedFailure {
  readonly code: FailureCode;
  /** One sentence. */
  readonly sentence: string;
  /** Of `gpu_full`: seconds after which there may be room; absent: not known. */
  readonly retryAfter?: number;
}

/** The failure to report for anything that was thrown. */
export function reportOf(error: unknown): ReportedFailure {
  if (!(error instanceof EngineFailure))
    return { code: "model_error", sentence: `The engine failed: ${messageOf(error)}` };
  const { code, message: sentence, retryAfter } = error;
  return { code, sentence, ...(retryAfter !== undefined && { retryAfter }) };
}
