/** The questions to a worker how many tokens prompts have. */
import { outcomeOfFailure } from "../../engine/failures.ts";
import { AltLasError } from "../../errors.ts";
import type { TextRequest } from "../../request.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

export class TokenCounts {
  readonly #send: (message: ToWorker) => void;
  readonly #open = new Map<number, PromiseWithResolvers<number | null>>();
  #next = 1;
  #isOver = false;

  constructor(send: (message: ToWorker) => void) {
    this.#send = send;
  }

  /**
   * Resolves with null where its engine cannot tell, or the worker ends before it has.
   * @throws {AltLasError} `invalid_input`, `unsupported`, `prompt_too_long`, `model_error`: the request can become no prompt
   */
  async ask(request: TextRequest): Promise<number | null> {
    if (this.#isOver) return null;
    const question = this.#next++;
    const answered = Promise.withResolvers<number | null>();
    this.#open.set(question, answered);
    this.#send({ type: "count", question, request });
    return answered.promise;
  }

  answered({ question, tokens, failure }: Extract<FromWorker, { type: "counted" }>): void {
    const open = this.#open.get(question);
    this.#open.delete(question);
    const outcome = failure === undefined ? null : outcomeOfFailure(failure);
    if (outcome?.status !== "failed") return open?.resolve(tokens);
    open?.reject(new AltLasError(outcome.error.code, outcome.error.sentence));
  }

  /** Nothing is answered any more. */
  end(): void {
    this.#isOver = true;
    for (const { resolve } of this.#open.values()) resolve(null);
    this.#open.clear();
  }
}
