/** Limits of compiling a schema. The work is counted rather than timed, so that the same schema fares the same on every machine. */

export interface GrammarLimits {
  /** Characters of the schema as JSON. */
  readonly schemaLength: number;
  /** How deep the schema may be nested. */
  readonly depth: number;
  /** Steps of work; a step is about a microsecond. */
  readonly steps: number;
  /** Rules of the grammar, and characters of it when it is written. */
  readonly rules: number;
  readonly grammarLength: number;
  /** Elements of it, as `elementsOf` counts them. */
  readonly elements: number;
}

/**
 * The limits for a schema that somebody sends: a second or two of a thread, and some 50 ms of llama.cpp, which reads a grammar between two
 * steps of its neighbours. A schema that passes before the queue must not be refused by an engine.
 */
export const GRAMMAR_LIMITS: GrammarLimits = {
  schemaLength: 256 * 1024,
  depth: 100,
  steps: 250_000,
  rules: 20_000,
  grammarLength: 1e6,
  elements: 400_000,
};

/** Why a schema cannot be compiled. */
export class SchemaError extends Error {
  override readonly name = "SchemaError";
  /** The part of the schema, as a JSON pointer; empty for the whole. */
  readonly pointer: string;

  /** @param why a sentence, as it stands behind a colon */
  constructor(pointer: string, why: string) {
    super(why);
    this.pointer = pointer;
  }
}

/** Counts what has been done, and stops what takes too much. */
export class Work {
  readonly #limits: GrammarLimits;
  #steps = 0;
  #rules = 0;

  constructor(limits: GrammarLimits) {
    this.#limits = limits;
  }

  get steps(): number {
    return this.#steps;
  }

  /** @throws SchemaError beyond the limit */
  step(count = 1): void {
    this.#steps += count;
    const { steps } = this.#limits;
    if (this.#steps > steps) throw new SchemaError("", `the schema takes more than ${steps} steps to compile.`);
  }

  /** Counts rules that are being written. @throws SchemaError beyond the limit */
  rule(count = 1): void {
    this.#rules += count;
    const { rules } = this.#limits;
    if (this.#rules > rules) throw new SchemaError("", `the schema needs a grammar of more than ${rules} rules.`);
  }
}
