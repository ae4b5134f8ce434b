/** The answer of a simulated model that has to keep to a form: it is made in the thread that makes grammars. */
import { randomText } from "../../grammar/random-text.ts";
import { seededRandom } from "../../common/seeded.ts";
import type { Tool, ToolCall } from "../../request.ts";
import { argumentsGrammar, formGrammar } from "../forms/form-grammar.ts";
import type { Said, Sayable } from "../forms/questions.ts";

/** Characters of an id of a call, behind `call_`. */
const ID_LENGTH = 24;

/**
 * @param most characters that there is room for; schemas may ask for millions
 * @throws {EngineFailure} `invalid_input`: what is asked of the form cannot be had
 */
export function saidOf(what: Sayable, seed: number, most: number): Said {
  const random = seededRandom(seed);
  if ("format" in what) return { text: randomText(formGrammar(what.format), random, most) };
  return { calls: what.tools.map((tool) => callOf(tool, random, most)) };
}

function callOf({ name, parameters }: Tool, random: () => number, most: number): ToolCall {
  const digit = (): string => Math.floor(random() * 36).toString(36);
  const id = `call_${Array.from({ length: ID_LENGTH }, digit).join("")}`;
  return { id, name, arguments: randomText(argumentsGrammar(parameters), random, most) };
}
