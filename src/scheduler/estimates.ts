/** Estimates of the tokens that tasks will take, before they have run. */
import type { Task } from "../task.ts";

/** The context assumed while no model is loaded: a client that asks for very many tokens must not owe them for ever. */
const UNKNOWN_CONTEXT = 8192;

/** Tokens. @param context those that fit into a slot; null: not known */
export function estimateOf({ estimatedTokens }: Task, context: number | null): number {
  return Math.min(estimatedTokens, context ?? UNKNOWN_CONTEXT);
}

/** Of several together. */
export function estimateOfAll(tasks: readonly Task[], context: number | null): number {
  let tokens = 0;
  for (const task of tasks) tokens += estimateOf(task, context);
  return tokens;
}
