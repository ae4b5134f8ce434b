/** What a simulated model has to say to a request: calls of tools, a text of the form that is asked for, or words without an end. */
import { randomText, seededRandom } from "../../grammar/random-text.ts";
import { type ChatRequest, type Request, type Tool, type ToolCall } from "../../request.ts";
import { argumentsGrammar, formGrammar } from "../form-grammar.ts";
import { callsSource, type Source, textSource, wordsFrom } from "./source.ts";
import { WORDS } from "./words.ts";

/** Characters of an id of a call, behind `call_`. */
const ID_LENGTH = 24;

/**
 * @param text all that the request says
 * @throws {EngineFailure} `invalid_input`: what is asked of the form cannot be had
 */
export function sourceOf(request: Request, text: string): Source {
  const calls = request.kind === "chat" ? wantedCalls(request) : [];
  if (calls.length > 0) {
    const random = randomOf(request, text);
    return callsSource(calls.map((tool) => callOf(tool, random)));
  }
  if (request.kind !== "embedding" && request.format !== undefined)
    return textSource(randomText(formGrammar(request.format), randomOf(request, text)));
  const sentence = request.kind === "chat" ? aboutTools(request) : null;
  return sentence === null ? wordsFrom(firstWordOf(text)) : textSource(sentence);
}

/** Of those that the last text of the user names, where it may choose: a person can then see it call, and see it answer. */
function wantedCalls({ tools, messages }: ChatRequest): readonly Tool[] {
  if (tools === undefined) return [];
  const { list, choice, parallel } = tools;
  if (typeof choice === "object") return list.filter(({ name }) => name === choice.name);
  // Their results are there.
  if (choice === "auto" && messages.at(-1)?.role === "tool") return [];
  const asked = messages.findLast(({ role }) => role === "user")?.content ?? "";
  const named = list.filter(({ name }) => asked.includes(name));
  const wanted = named.length === 0 && choice === "required" ? list.slice(0, 1) : named;
  return parallel ? wanted : wanted.slice(0, 1);
}

/** What it says where tools are the matter. It has an end: clients take an answer that is cut off for a failure of a loop of calls. */
function aboutTools({ tools, messages }: ChatRequest): string | null {
  const answers = messages.slice(messages.findLastIndex(({ role }) => role !== "tool") + 1);
  if (answers.length > 0) return `The tools say: ${answers.map(({ content }) => content).join("; ")}`;
  return tools === undefined
    ? null
    : `I call the tools that you name: ${tools.list.map(({ name }) => name).join(", ")}.`;
}

function callOf({ name, parameters }: Tool, random: () => number): ToolCall {
  const digit = (): string => Math.floor(random() * 36).toString(36);
  const id = `call_${Array.from({ length: ID_LENGTH }, digit).join("")}`;
  return { id, name, arguments: randomText(argumentsGrammar(parameters), random) };
}

/** The same for the same prompt and seed; without a temperature the seed changes nothing. */
function randomOf({ sampling: { temperature, seed = 0 } }: Request, text: string): () => number {
  let hash = temperature === 0 ? 0 : seed;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return seededRandom(hash);
}

function firstWordOf(text: string): number {
  return (text.length + text.charCodeAt(0) + text.charCodeAt(text.length - 1)) % WORDS.length || 0;
}
