/** Tells operators when tasks cannot be written to disk, and when they can again. */
import { messageOf } from "../errors.ts";
import type { Store } from "../store/store.ts";
import { tellOperators } from "../topics.ts";

export class StoreTrouble {
  #isFailing = false;

  constructor({ lost }: Pick<Store, "lost">) {
    const tell = () => tellOperators({ kind: "store", event: "lost", sentence: messageOf(lost.reason) });
    lost.addEventListener("abort", tell, { once: true });
  }

  /** A write has failed. */
  failed(error: unknown): void {
    if (this.#isFailing) return;
    this.#isFailing = true;
    tellOperators({
      kind: "store",
      event: "failing",
      sentence: `Tasks cannot be written to disk: ${messageOf(error)}`,
    });
  }

  /** A write has succeeded, and none waits to be tried again. */
  worked(): void {
    if (!this.#isFailing) return;
    this.#isFailing = false;
    tellOperators({ kind: "store", event: "working", sentence: "Tasks are written to disk again." });
  }
}
