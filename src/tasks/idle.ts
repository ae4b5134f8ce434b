/** Waits until a condition of idleness holds. */
export class Idle {
  readonly #isIdle: () => boolean;
  #onIdle: (() => void) | null = null;

  /** @param isIdle asked whenever `tell` is called */
  constructor(isIdle: () => boolean) {
    this.#isIdle = isIdle;
  }

  /** Something has ended. */
  tell(): void {
    if (this.#onIdle !== null && this.#isIdle()) this.#onIdle();
  }

  /** Resolves when it is idle, after `seconds`, or when the signal aborts. */
  async until(seconds: number, hurry: AbortSignal): Promise<void> {
    if (this.#isIdle() || hurry.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
      hurry.addEventListener("abort", this.#onIdle);
    });
    this.#onIdle = null;
  }
}
