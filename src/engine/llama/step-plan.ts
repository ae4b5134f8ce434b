/** Decides how many tokens each task decodes in a step. */
import { type StepLoad } from "./prefill.ts";

/** A task that runs, as the plan sees it. */
export interface Pending {
  /** Prompt tokens that have not been decoded yet. */
  readonly remaining: number;
}

/** The part of one task in one step. */
export interface Move<Task> {
  readonly task: Task;
  /** Prompt tokens to decode; 0: the one that was generated last. */
  readonly promptTokens: number;
  /** Whether a token comes out. */
  readonly generates: boolean;
}

/**
 * A task that has its whole prompt, or all but its last token, decodes one token. The rest of the batch, or of what `allowance` allows
 * beside them, is dealt evenly to the other prompts, the shortest remainder first: so a newcomer with a short prompt never waits for a
 * long one, and what it leaves goes to the long one.
 */
export function planStep<Task extends Pending>(
  tasks: readonly Task[],
  batchSize: number,
  allowance: (load: StepLoad) => number,
): Move<Task>[] {
  const generating = tasks.filter(({ remaining }) => remaining <= 1);
  const moves = generating.map((task) => ({ task, promptTokens: task.remaining, generates: true }));
  const prompts = tasks.filter(({ remaining }) => remaining > 1).toSorted((a, b) => a.remaining - b.remaining);
  if (prompts.length === 0) return moves;
  const load = { generating: generating.length, prompts: prompts.length };
  let left = Math.min(batchSize - generating.length, allowance(load));
  for (const [index, task] of prompts.entries()) {
    if (left === 0) break;
    const share = Math.max(1, Math.floor(left / (prompts.length - index)));
    // The last token is kept for a step of its own, with a result.
    const promptTokens = Math.min(task.remaining - 1, share);
    left -= promptTokens;
    moves.push({ task, promptTokens, generates: false });
  }
  return moves;
}
