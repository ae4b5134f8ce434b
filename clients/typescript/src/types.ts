/** What goes over the wire; what the server's own document describes is generated (schema.ts). */
import type { Task } from "./schema.ts";

export type {
  Batch,
  BatchItem,
  BatchRequest,
  BatchResult,
  ErrorCode,
  Gpu,
  PredictRequest,
  ServedModel,
  StreamTicket,
  SubmittedBatch,
  Task,
  TaskFilter,
  TaskList,
  TaskSummary,
} from "./schema.ts";

/** A GPU has the task. One with a higher `attempt` than before means that the text so far is void: the task starts over. */
export interface PlacedEvent {
  readonly type: "placed";
  /** For `lastEventId`. */
  readonly id: string;
  readonly task_id: string;
  readonly gpu_id: number;
  readonly attempt: number;
}

/** A piece of the answer: of its text, or, with an empty `text`, of its reasoning or of a call of a tool. */
export interface TokenEvent {
  readonly type: "token";
  readonly id: string;
  readonly text: string;
  readonly reasoning?: string;
  readonly tool_call?: {
    readonly index: number;
    readonly id?: string;
    readonly name?: string;
    readonly arguments: string;
  };
  readonly logprobs?: NonNullable<Task["result"]>["logprobs"];
}

/** The end, with the whole task. */
export interface EndEvent {
  readonly type: "completed" | "failed" | "canceled";
  readonly id: string;
  readonly task: Task;
}

export type TaskEvent = PlacedEvent | TokenEvent | EndEvent;
