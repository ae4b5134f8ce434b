/**
 * Answers that llama.cpp holds to a grammar. It draws a token as always, and draws again among those that the grammar allows only where it
 * does not allow that one.
 */
import { type Llama, LlamaGrammar, LlamaGrammarEvaluationState, type LlamaModel, type Token } from "node-llama-cpp";

/** Grammars that are kept parsed: parsing is the dear part, and programs ask for the same few forms again and again. */
const KEPT = 16;

/** The part of node-llama-cpp 3.21 that no public interface has; test/llama-grammar.test.ts fails when it changes. */
interface Bindings {
  readonly _bindings: {
    readonly AddonSampler: {
      canBeNextTokenForGrammarEvaluationState(state: unknown, token: Token): boolean;
    };
  };
}

/** Follows one text along a grammar. */
export class Constraint {
  /** Takes each token that is drawn with it. */
  readonly state: LlamaGrammarEvaluationState;
  readonly #sampling: Bindings["_bindings"]["AddonSampler"];

  constructor(llama: Llama, begun: LlamaGrammarEvaluationState) {
    const { _bindings: bindings } = llama as unknown as Bindings;
    this.state = begun.clone();
    this.#sampling = bindings.AddonSampler;
  }

  /**
   * Whether this token, which has not been taken, may be next. Where a grammar allows no token at all, llama.cpp draws any.
   */
  allows(token: Token): boolean {
    const { _state: state } = this.state as unknown as { readonly _state: unknown };
    return this.#sampling.canBeNextTokenForGrammarEvaluationState(state, token);
  }
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
