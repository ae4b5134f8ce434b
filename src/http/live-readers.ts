/**
 * Ends what goes out as it comes about to readers who would not be let in any more: their key was revoked, held to less, or has ended, or
 * their user has another role. Such an answer may last for days, and nobody asks for credentials again meanwhile.
 */
import type { ServerResponse } from "node:http";
import type { Caller, Credentials } from "../auth/credentials.ts";
import { InFlight } from "../common/in-flight.ts";
import { onceClosed } from "./closing.ts";

/** Milliseconds between two looks for keys that have ended. */
const LOOKS = 10_000;

export class LiveReaders {
  readonly #credentials: Pick<Credentials, "holds" | "onChange">;
  readonly #readers = new InFlight<number, { readonly response: ServerResponse; readonly caller: Caller }>();
  #last = 0;
  readonly #stop: () => void;
  #looks: NodeJS.Timeout | null = null;

  constructor(credentials: Pick<Credentials, "holds" | "onChange">) {
    this.#credentials = credentials;
    this.#stop = credentials.onChange(() => this.sweep());
  }

  /** How many there are. */
  get size(): number {
    return this.#readers.size;
  }

  add(caller: Caller, response: ServerResponse): void {
    if (response.destroyed) return;
    const number = ++this.#last;
    this.#readers.set(number, { response, caller });
    this.#looks ??= setInterval(() => this.sweep(), LOOKS).unref();
    onceClosed(response, () => {
      this.#readers.delete(number);
      if (this.#readers.size === 0) this.#rest();
    });
  }

  /** Cuts those who would not be let in now. */
  sweep(): void {
    for (const { response, caller } of this.#readers.values()) if (!this.#credentials.holds(caller)) response.destroy();
  }

  close(): void {
    this.#stop();
    this.#rest();
  }

  #rest(): void {
    if (this.#looks !== null) clearInterval(this.#looks);
    this.#looks = null;
  }
}
