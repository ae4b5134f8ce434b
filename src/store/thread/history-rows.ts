/* The rows of the history: what tasks took, without their texts. */
import type { Sampling } from "../../request.ts";
import type { Priority } from "../../task.ts";
import type { PastTask } from "../tasks.ts";
import { placesOf, type Row } from "./columns.ts";
import { parsed } from "./rows.ts";

/** The columns that are read of each task. */
export const HISTORY = [
  "seq",
  "user",
  "created_at",
  "created_clock",
  "size",
  "sampling",
  "task_type",
  "priority",
  "model",
  "ran_model",
  "prompt_tokens",
  "completion_tokens",
  "prefix",
] as const;

const READ = placesOf(HISTORY);

/** The task of a row of `HISTORY`. */
export function pastTaskOf(row: Row): PastTask {
  return {
    seq: row[READ.seq] as number,
    user: row[READ.user] as string,
    createdClock: (row[READ.created_clock] ?? row[READ.created_at]) as number,
    size: row[READ.size] as number,
    maxTokens: parsed<Sampling>(row[READ.sampling])?.maxTokens ?? null,
    taskType: row[READ.task_type] as string,
    priority: row[READ.priority] as Priority,
    model: (row[READ.ran_model] ?? row[READ.model]) as string | null,
    promptTokens: row[READ.prompt_tokens] as number | null,
    completionTokens: row[READ.completion_tokens] as number | null,
    prefix: parsed<number[]>(row[READ.prefix]) ?? [],
  };
}
