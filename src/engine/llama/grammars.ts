/** Grammars of llama.cpp, along which answers are followed token by token. */
import { type Llama, LlamaGrammar, LlamaGrammarEvaluationState, type LlamaModel, type Token } from "node-llama-cpp";
import { EngineFailure } from "../failures.ts";

/** Grammars that are kept parsed: parsing is the dear part, and programs ask for the same few forms again and again. */
const KEPT = 16;

/**
 * Milliseconds for a token. llama.cpp follows every way in which a text so far can be read, and each takes a microsecond or so. Where things with
 * the same beginning are alternatives, and lie in each other, the ways multiply at each level, and soon one step would take minutes.
 */
const SLOW = 1;
/** Microseconds of processor time in which a token that took longer is looked at again, until it takes less once. */
const DOUBT = 50_000;

const AMBIGUOUS =
  "The answer's form has alternatives in each other that begin alike, and the text so far can be read in too many ways." +
  " Properties that tell the alternatives apart should come first.";

/** The part of node-llama-cpp 3.21 that no public interface has; test/llama-grammar.test.ts fails when it changes. */
interface Bindings {
  readonly _bindings: {
    readonly AddonSampler: {
      canBeNextTokenForGrammarEvaluationState(state: unknown, token: Token): boolean;
      acceptGrammarEvaluationStateToken(state: unknown, token: Token): void;
    };
  };
}

/** Follows one text along a grammar. */
export class Constraint {
  readonly #state: LlamaGrammarEvaluationState;
  readonly #sampling: Bindings["_bindings"]["AddonSampler"];

  constructor(llama: Llama, begun: LlamaGrammarEvaluationState) {
    const { _bindings: bindings } = llama as unknown as Bindings;
    this.#state = begun.clone();
    this.#sampling = bindings.AddonSampler;
  }

  /**
   * Whether this token may be next: of those that end a text, whether the text may end here.
   * @throws {EngineFailure} `unsupported`: the text can be read in too many ways
   */
  allows(token: Token): boolean {
    const begun = performance.now();
    const isAllowed = this.#isNext(token);
    if (performance.now() - begun > SLOW && this.#isSlow(token)) throw new EngineFailure("unsupported", AMBIGUOUS);
    return isAllowed;
  }

  #isNext(token: Token): boolean {
    return this.#sampling.canBeNextTokenForGrammarEvaluationState(nativeOf(this.#state), token);
  }

  /** Whether it takes long each time: on a busy machine something else may come between several times in a row. */
  #isSlow(token: Token): boolean {
    const before = process.threadCpuUsage();
    for (;;) {
      const begun = performance.now();
      this.#isNext(token);
      if (performance.now() - begun <= SLOW) return false;
      const { user, system } = process.threadCpuUsage(before);
      if (user + system > DOUBT) return true;
    }
  }

  /** The text goes on with this token, which is allowed. @throws {Error} it is not */
  take(token: Token): void {
    this.#sampling.acceptGrammarEvaluationStateToken(nativeOf(this.#state), token);
  }

  /** For a native sampler, which may take what it draws: that is not taken here. */
  copy(): unknown {
    return nativeOf(this.#state.clone());
  }
}

function nativeOf(state: LlamaGrammarEvaluationState): unknown {
  const { _state: native } = state as unknown as { readonly _state: unknown };
  return native;
}

export class Grammars {
  readonly #llama: Llama;
  readonly #model: LlamaModel;
  /** Each before its first character; the least recently used first. */
  readonly #begun = new Map<string, LlamaGrammarEvaluationState>();

  constructor(llama: Llama, model: LlamaModel) {
    this.#llama = llama;
    this.#model = model;
  }

  /**
   * @param gbnf its rule `root` is the whole text, whose end is the end of the answer
   * @throws {Error} llama.cpp does not take it; why shows in its log
   */
  begin(gbnf: string): Constraint {
    const begun = this.#begun.get(gbnf) ?? this.#parsed(gbnf);
    this.#begun.delete(gbnf);
    this.#begun.set(gbnf, begun);
    const [oldest] = this.#begun.keys();
    if (this.#begun.size > KEPT) this.#begun.delete(oldest!);
    return new Constraint(this.#llama, begun);
  }

  #parsed(grammar: string): LlamaGrammarEvaluationState {
    return new LlamaGrammarEvaluationState({ model: this.#model, grammar: new LlamaGrammar(this.#llama, { grammar }) });
  }
}
