/** Decides how many tokens each task decodes in a step. */
import type { StepLoad } from "./prefill.ts";

/** A task that runs, as the plan sees it. */
export interface Pending {
  /** Prompt tokens that have not been decoded yet. */
  readonly remaining: number;
  /** Prompt tokens that it came with, without those that its slot held already. */
  readonly toRead: number;
  /** When it came; tasks that came together, while nobody generated, have one time. */
  readonly came: number;
}

/** The part of one task in one step. */
export interface Move<Task> {
  readonly task: Task;
  /** Prompt tokens to decode; 0: the one that was generated last. */
  readonly promptTokens: number;
  /** Whether a token comes out. */
  readonly generates: boolean;
}

export interface StepPlan<Task> {
  readonly moves: readonly Move<Task>[];
  /** Whether `allowance` was kept to: what such a step takes tells how fast prompts may come in. */
  readonly isPaced: boolean;
}

/**
 * A task that has its whole prompt, or all but its last token, decodes one token. The rest of the batch is for prompts.
 *
 *  1. Those that nobody waits for fill the batch: nobody generates, or only tasks that came with them or later. So prompts that come
 *     together are read together, and the first one that can generate does not slow down the others. But nobody waits for more of a prompt
 *     than its own had, or a batch has.
 *  2. They are read whole, the shortest remainder first: a piece of one more is another pass over the weights, and is left out unless
 *     half the room is left. A prompt that has been read gets its first token before the next ones are. So answers begin one after the
 *     other, not all at the end.
 *  3. The others get what `allowance` allows beside those that generate, and each a token at least. The shortest remainder gets what it
 *     needs of half of that, beside the even share of the other half that each is sure of.
 */
export function planStep<Task extends Pending>(
  tasks: readonly Task[],
  batchSize: number,
  allowance: (load: StepLoad) => number,
): StepPlan<Task> {
  const generating = tasks.filter(({ remaining }) => remaining <= 1);
  const prompts = tasks.filter(({ remaining }) => remaining > 1).toSorted((a, b) => a.remaining - b.remaining);
  const free = prompts.filter((prompt) => holdsNobodyUp(prompt, generating, batchSize));
  const others = prompts.filter((prompt) => !free.includes(prompt));
  const moves = generating.map((task) => ({ task, promptTokens: task.remaining, generates: true }));
  const allowed = others.length === 0 ? 0 : allowance({ generating: generating.length, prompts: others.length });
  const room = batchSize - generating.length;
  const kept = Math.min(others.length, allowed, room);
  const isFirstDue = generating.some(({ remaining }) => remaining === 1);
  const freely = isFirstDue ? [] : whole(free, room - kept);
  const used = freely.reduce((sum, { promptTokens }) => sum + promptTokens, 0);
  return {
    moves: [...moves, ...freely, ...dealt(others, Math.min(allowed, room - used))],
    isPaced: freely.length === 0,
  };
}

function holdsNobodyUp({ remaining, toRead, came }: Pending, generating: readonly Pending[], batch: number): boolean {
  if (generating.length === 0) return true;
  const patience = Math.max(batch, ...generating.map((task) => task.toRead));
  return toRead - remaining < patience && generating.every((task) => task.came >= came);
}

/** @param prompts the shortest remainder first */
function whole<Task extends Pending>(prompts: readonly Task[], room: number): Move<Task>[] {
  const moves: Move<Task>[] = [];
  let left = room;
  for (const task of prompts) {
    // The last token is kept for a step of its own, with a result.
    const promptTokens = Math.min(task.remaining - 1, left);
    if (promptTokens === 0 || (promptTokens < task.remaining - 1 && left < room / 2)) break;
    left -= promptTokens;
    moves.push({ task, promptTokens, generates: false });
  }
  return moves;
}

/** @param prompts the shortest remainder first */
function dealt<Task extends Pending>(prompts: readonly Task[], room: number): Move<Task>[] {
  const sure = Math.max(1, Math.floor(room / (2 * prompts.length)));
  const moves: Move<Task>[] = [];
  let left = room;
  for (const [index, task] of prompts.entries()) {
    if (left === 0) break;
    const behind = prompts.length - index - 1;
    const promptTokens = Math.min(task.remaining - 1, Math.max(1, left - behind * sure));
    left -= promptTokens;
    moves.push({ task, promptTokens, generates: false });
  }
  return moves;
}
