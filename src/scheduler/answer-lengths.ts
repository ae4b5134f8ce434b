/** How long the answers of one caller are, learned by model. It is a mean: it tells GPUs apart, and decides about no task alone. */
import { TO_THE_END } from "../request.ts";
import type { Task } from "../task.ts";
import { workOf } from "./pace.ts";

/** Answers that have to be known before they are believed. */
const LEAST = 8;
/** The share of a new answer in the mean, when many are known. */
const FRESH = 1 / 32;
/** Models of one caller that are remembered: those that it used first. */
const MOST_MODELS = 16;
/** Bytes of a text for each token, about; see request.ts. */
const BYTES_PER_TOKEN = 4;

interface Learned {
  count: number;
  mean: number;
}

export class AnswerLengths {
  readonly #byModel = new Map<string | null, Learned>();
  /** The entry that was asked for last: most callers use one model. */
  #last: { readonly model: string | null; readonly learned: Learned } | null = null;

  /** @param tokens of an answer that has ended by itself or by its bound */
  learn({ model }: Pick<Task, "model">, tokens: number): void {
    let learned = this.#of(model);
    if (learned === undefined) {
      if (this.#byModel.size >= MOST_MODELS) return;
      this.#byModel.set(model, (learned = { count: 0, mean: 0 }));
    }
    learned.count++;
    learned.mean += Math.max(FRESH, 1 / learned.count) * (tokens - learned.mean);
  }

  /** Tokens that the answer of a task is expected to have: the bound that it sets, until lengths are known. @param context of a slot; null: not known */
  expected({ model, sampling: { maxTokens }, estimatedTokens, size }: Task, context: number | null): number {
    const learned = this.#of(model);
    const isKnown = learned !== undefined && learned.count >= LEAST;
    const bound = maxTokens === TO_THE_END ? estimatedTokens - size / BYTES_PER_TOKEN : maxTokens;
    return Math.min(isKnown ? Math.min(learned.mean, maxTokens) : bound, context ?? Infinity);
  }

  #of(model: string | null): Learned | undefined {
    if (this.#last?.model === model) return this.#last.learned;
    const learned = this.#byModel.get(model);
    if (learned !== undefined) this.#last = { model, learned };
    return learned;
  }
}

/** Tokens of work that a task is expected to be, at least one: see pace.ts. @param answer tokens of its answer */
export function expectedWork({ size }: Pick<Task, "size">, answer: number): number {
  return Math.max(1, Math.round(workOf(size / BYTES_PER_TOKEN, answer)));
}
