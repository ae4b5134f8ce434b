/** The messages between the server and a worker process. The channel keeps the order. */
import type { DeviceMemory, EngineInfo, EngineOptions, UpstreamFigures } from "../../engine/engine.ts";
import type { FailureCode, ReportedFailure } from "../../engine/failures.ts";
import type { Delta } from "../../output.ts";
import type { Request, TextRequest } from "../../request.ts";
import type { FinishReason } from "../../task.ts";

/** One task for a worker. `run` names this attempt among all of this process. */
export interface RunRequest {
  readonly run: number;
  readonly request: Request;
  /** For a server that the engine asks; absent: none. */
  readonly headers?: Readonly<Record<string, string>>;
  /** See `Generation`. */
  readonly by?: string;
}

export type ToWorker =
  | {
      readonly type: "load";
      readonly gpuId: number;
      readonly engine: EngineOptions;
      /** Whether to ask the CUDA driver which GPUs this process sees. */
      readonly proveCuda: boolean;
    }
  | { readonly type: "run"; readonly requests: readonly RunRequest[] }
  | { readonly type: "cancel"; readonly runs: readonly number[] }
  /** How many tokens has its prompt? */
  | { readonly type: "count"; readonly question: number; readonly request: TextRequest }
  | { readonly type: "stop" };

/** A run that the engine has taken. */
export interface StepStart {
  readonly run: number;
  /** null: not known yet. */
  readonly promptTokens: number | null;
}

/** The news of one run since the last step; more than one where its deltas are of several kinds. */
export type StepPiece = Delta & {
  readonly run: number;
  /** Tokens that it took. */
  readonly tokens: number;
};

/** How one run ended. Its output is what its pieces add up to. */
export type StepEnd =
  | {
      readonly run: number;
      readonly type: "finished";
      readonly finishReason: Exclude<FinishReason, "timeout">;
      readonly promptTokens: number | null;
      readonly completionTokens: number;
      readonly cachedTokens: number | null;
      /** Seconds from the start of the run to its last token. */
      readonly executionTime: number;
      /** See `TaskResult`. */
      readonly mismatch?: string;
    }
  | ({ readonly run: number; readonly type: "error" } & ReportedFailure);

export type FromWorker =
  /** Loaded; tasks may come. `gpus`: the UUIDs of the GPUs this process sees; null: not asked, or nobody can tell. */
  | { readonly type: "loaded"; readonly info: EngineInfo; readonly gpus: readonly string[] | null }
  /** Loading failed for a reason that trying again at once does not mend. The process exits after it. */
  | { readonly type: "refused"; readonly code: FailureCode; readonly sentence: string }
  /** The server behind the engine cannot be reached any more, or makes no sense. The process exits after it. */
  | { readonly type: "lost"; readonly sentence: string; readonly nonsense: boolean }
  /** All that happened in one decoding step, for all its sequences, in this order. A start alone waits for the next step. */
  | {
      readonly type: "step";
      readonly starts: readonly StepStart[];
      readonly pieces: readonly StepPiece[];
      readonly ends: readonly StepEnd[];
    }
  /** The answer to `count`. `tokens`: null where the engine cannot tell, or for the failure beside it. */
  | {
      readonly type: "counted";
      readonly question: number;
      readonly tokens: number | null;
      readonly failure?: ReportedFailure;
    }
  /** Sent every `HEARTBEAT_MS` from the first moment on, also while loading. */
  | {
      readonly type: "heartbeat";
      /** CPU seconds that this process, and a server that its engine has started, have used since they started. */
      readonly cpuSeconds: number;
      /** Resident bytes of both. */
      readonly residentBytes: number;
      /** Process id of that server; null: there is none. */
      readonly serverPid: number | null;
      /** Of the model, 0 to 1, while it is loaded; null: it is not, or the engine does not tell. */
      readonly loadShare: number | null;
      /** The engine's count of steps; it grows while the engine gets on. */
      readonly progress: number;
      /** The memory of its device in bytes, as the engine's library tells it; null: it does not tell. */
      readonly deviceMemory: DeviceMemory | null;
      /** The figures of the server behind the engine; null: there is none, or it has reported nothing. */
      readonly upstream: UpstreamFigures | null;
    };

/** Milliseconds between two heartbeats of a worker. */
export const HEARTBEAT_MS = 500;
