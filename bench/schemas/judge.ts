/** Says how well a grammar does what its schema says, without a model. */
import { getLlama, LlamaGrammar } from "node-llama-cpp";
import { type Check, checkOf } from "../../src/grammar/check.ts";
import { compileSchema, type CompiledSchema } from "../../src/grammar/compile.ts";
import { gbnfOf } from "../../src/grammar/gbnf.ts";
import { GRAMMAR_LIMITS, SchemaError } from "../../src/grammar/limits.ts";
import { randomText } from "../../src/grammar/random-text.ts";
import { seededRandom } from "../../src/common/seeded.ts";
import { Ordering } from "./order.ts";

export interface SchemaCase {
  readonly name: string;
  readonly schema: unknown;
  readonly tests: readonly { readonly valid: boolean; readonly data: unknown }[];
}

/**
 * `whole`: it compiles exactly, every valid instance matches and every random text is valid; `refused`: it does not compile exactly, and says so;
 * `too loose`: a text that is wrong matches; `too tight`: a valid instance does not.
 */
export type Verdict = "whole" | "refused" | "too loose" | "too tight";

export interface Judgement {
  readonly name: string;
  readonly verdict: Verdict;
  /** What is refused, or the text that shows it. */
  readonly why: string;
  /** Milliseconds to compile, and those that llama.cpp takes to read the grammar; null where there is none. */
  readonly compileMs: number;
  readonly readMs: number | null;
}

const llama = await getLlama({ gpu: false, build: "never", logger: () => undefined });

/** @param texts how many random texts are tried */
export function judge({ name, schema, tests }: SchemaCase, texts: number): Judgement {
  const start = performance.now();
  let compiled: CompiledSchema;
  let gbnf: string;
  try {
    compiled = compileSchema(schema, GRAMMAR_LIMITS);
    gbnf = gbnfOf(compiled.grammar);
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    const why = `${error.pointer}: ${error.message}`;
    return { name, verdict: "refused", why, compileMs: performance.now() - start, readMs: null };
  }
  const compileMs = performance.now() - start;
  const matches = matcherOf(gbnf);
  const readMs = performance.now() - start - compileMs;
  const found = (verdict: Verdict, why: string): Judgement => ({ name, verdict, why, compileMs, readMs });
  const [inexact] = compiled.inexact;
  if (inexact !== undefined) return found("refused", `${inexact.pointer}: ${inexact.why}`);
  const order = new Ordering(schema);
  const instance = (data: unknown): string => JSON.stringify(order.ordered(data));
  const loose =
    wrongText(compiled, checked(schema), texts) ?? tests.find(({ valid, data }) => !valid && matches(instance(data)));
  if (loose !== undefined) return found("too loose", typeof loose === "string" ? loose : instance(loose.data));
  const tight = tests.find(({ valid, data }) => valid && !matches(instance(data)));
  return tight === undefined ? found("whole", "") : found("too tight", instance(tight.data));
}

function checked(schema: unknown): Check {
  try {
    return checkOf(schema);
  } catch {
    // Ajv refuses some schemas that are none by the letter; then only the instances count.
    return () => null;
  }
}

/** A random text of the grammar that is not valid. */
function wrongText({ grammar }: CompiledSchema, check: Check, texts: number): string | undefined {
  for (let seed = 0; seed < texts; seed++) {
    const text = randomText(grammar, seededRandom(seed));
    const wrong = check(JSON.parse(text));
    if (wrong !== null) return `${text} (${wrong})`;
  }
  return undefined;
}

function matcherOf(grammar: string): (text: string) => boolean {
  // Not part of the public interface, but the only matcher that does not need a model.
  const read = new LlamaGrammar(llama, { grammar }) as unknown as Readonly<
    Record<"_testText", (text: string) => boolean>
  >;
  return (text) => read["_testText"](text);
}
