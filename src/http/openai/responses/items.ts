/** The items of a response's output. Each is what one delta of the whole output says: reasoning, the text, a call. */
import { type Delta, deltasOf, type EmbeddingDelta, lengthOf, type TokenLogprob } from "../../../output.ts";
import { attemptNumber, type FinishReason, type TaskResult } from "../../../task.ts";
import type { TaskSnapshot } from "../../../tasks/task-api.ts";
import type { TokenLogprobView } from "../../schemas/tasks.ts";
import { viewOfToken } from "../../views.ts";
import { itemIdOf } from "./ids.ts";
import type { ItemKind } from "./sequence.ts";

type Worded = Exclude<Delta, EmbeddingDelta>;

export type ItemStatus = "in_progress" | "completed" | "incomplete";

/** The identity of an item, whatever has come of it. */
export interface Item {
  readonly kind: ItemKind;
  readonly id: string;
  /** Of a call of a tool. */
  readonly call?: { readonly id: string; readonly name: string };
}

/** An item, and where it stands in the output of its attempt. */
export interface PlacedItem extends Item {
  /** Among the items of its attempt, from 0. */
  readonly index: number;
  /** Positions: see output.ts. */
  readonly start: number;
  readonly end: number;
  readonly delta: Worded;
}

const KINDS = { reasoning: "reasoning", text: "message", tool_call: "function_call" } as const;

/** @param deltas as few as possible, as `Output` has them */
export function itemsOf(taskId: string, attempt: number, deltas: readonly Delta[]): readonly PlacedItem[] {
  const items: PlacedItem[] = [];
  let start = 0;
  for (const delta of deltas) {
    if (delta.kind === "embedding") continue;
    const kind = KINDS[delta.kind];
    const index = items.length;
    const end = start + lengthOf(delta);
    const call = delta.kind === "tool_call" ? delta.call : undefined;
    items.push({ kind, id: itemIdOf(taskId, attempt, kind, index), ...(call && { call }), index, start, end, delta });
    start = end;
  }
  return items;
}

const NO_TEXT: Worded = { kind: "text", text: "" };

/** The whole output of a task that has ended. An answer that says nothing, and is none of calls, is an empty text. */
export function deltasOfResult(result: TaskResult): readonly Delta[] {
  const deltas = deltasOf(result);
  const isEmpty = result.text === "" && result.toolCalls === undefined && !wasStopped(result.finishReason);
  return isEmpty ? [...deltas, NO_TEXT] : deltas;
}

function wasStopped(reason: FinishReason): boolean {
  return reason === "canceled" || reason === "timeout";
}

/** How its last item has ended; those before it are completed. */
export function lastStatusOf({ finishReason }: TaskResult): ItemStatus {
  return finishReason === "stop" ? "completed" : "incomplete";
}

/** The output that a response shows once its task has ended. */
export function outputOf(task: Pick<TaskSnapshot, "id" | "attempts" | "result">): readonly object[] {
  const { id, result } = task;
  if (result === null) return [];
  const items = itemsOf(id, attemptNumber(task), deltasOfResult(result));
  return items.map((item, index) =>
    viewOfItem(item, item.delta, index === items.length - 1 ? lastStatusOf(result) : "completed"),
  );
}

/** @param said all that it says so far; null: nothing, not even an empty text */
export function viewOfItem({ kind, id, call }: Item, said: Worded | null, status: ItemStatus): object {
  switch (kind) {
    case "reasoning":
      return { id, type: kind, status, summary: [], content: said === null ? [] : [partOf(kind, said)] };
    case "message":
      return { id, type: kind, status, role: "assistant", content: said === null ? [] : [partOf(kind, said)] };
    case "function_call":
      return {
        id,
        type: kind,
        status,
        call_id: call?.id ?? "",
        name: call?.name ?? "",
        arguments: said === null ? "" : wordsOf(said),
      };
  }
}

/** The one part of an item's content. */
export function partOf(kind: "reasoning" | "message", said: Worded): object {
  if (kind === "reasoning") return { type: "reasoning_text", text: wordsOf(said) };
  return { type: "output_text", text: wordsOf(said), annotations: [], logprobs: logprobsOf(said) };
}

export function wordsOf(said: Worded): string {
  return said.kind === "tool_call" ? said.arguments : said.text;
}

/** Empty: they were not asked for. */
export function logprobsOf(said: Worded): readonly TokenLogprobView[] {
  const logprobs: readonly TokenLogprob[] = (said.kind === "text" && said.logprobs) || [];
  return logprobs.map(viewOfToken);
}
