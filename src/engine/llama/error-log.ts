import { setImmediate as nextTurn } from "node:timers/promises";
import { LlamaLogLevel } from "node-llama-cpp";
import { messageOf } from "../../errors.ts";
import { EngineFailure, type FailureCode } from "../failures.ts";

const NO_MEMORY = /out of memory|not enough memory|failed to allocate|unable to allocate|bad_alloc|KV slot/i;

/** The last things llama.cpp complained about: the exceptions that reach JavaScript rarely say why. */
export class ErrorLog {
  #lines: string[] = [];

  readonly add = (level: LlamaLogLevel, message: string): void => {
    const line = message.trim();
    const serious = level === LlamaLogLevel.error || level === LlamaLogLevel.fatal;
    if (serious && line !== "") this.#lines = [...this.#lines, line].slice(-8);
  };

  /** Whether anything was complained about that no failure has told yet. */
  async hasComplaints(): Promise<boolean> {
    await this.#delivered();
    return this.#lines.length > 0;
  }

  /** The failure for whatever was just thrown: `what` it means, and why. @param code unless memory was short */
  async failure(what: string, error: unknown, code: FailureCode = "model_error"): Promise<EngineFailure> {
    if (error instanceof EngineFailure) return error;
    await this.#delivered();
    const lines = this.#lines;
    // Kept until all that failed in the same step have read them.
    setImmediate(() => (this.#lines = []));
    const why = reasonOf(messageOf(error), lines);
    const noMemory = NO_MEMORY.test(why);
    return new EngineFailure(noMemory ? "out_of_memory" : code, `${what}: ${why}.`, { cause: error });
  }

  /** The binding delivers llama.cpp's lines through the event loop, so they come after the exception they explain. */
  async #delivered(): Promise<void> {
    await nextTurn();
    await nextTurn();
  }
}

/** The log lines of llama.cpp, without its functions' names and its "failed to load model"; else the exception's message. */
function reasonOf(message: string, lines: readonly string[]): string {
  const said = lines
    .map((line) => line.replace(/^([a-z_0-9]+: )+(error loading model: )?/, "").replace(/\.$/, ""))
    .filter((line) => !/^failed to (load model|initialize the context)$/.test(line));
  return said.length > 0 ? [...new Set(said)].join("; ") : message.replace(/\.$/, "");
}
