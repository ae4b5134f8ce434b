/** The answer of a simulated model to a request: calls of tools, a text of the form that is asked for, or words without an end. */
import { type ChatRequest, type Request, textsOf, type Tool } from "../../request.ts";
import type { Said, Sayable } from "../forms/questions.ts";
import { callsSource, type Source, textSource, wordsFrom } from "./source.ts";
import { WORDS } from "./words.ts";

/** The calls or the form that its answer has to have; null: it says words. */
export function sayableOf(request: Request): Sayable | null {
  if (request.kind === "embedding") return null;
  const tools = request.kind === "chat" ? wantedCalls(request) : [];
  if (tools.length > 0) return { tools };
  return request.format === undefined ? null : { format: request.format };
}

/** @param said what it has to say in a form; null: it says words */
export function sourceOf(request: Request, text: string, said: Said | null): Source {
  if (said !== null) return "calls" in said ? callsSource(said.calls) : textSource(said.text);
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

/** Its answer where tools are the matter. It has an end: clients take an answer that is cut off for a failure of a loop of calls. */
function aboutTools({ tools, messages }: ChatRequest): string | null {
  const answers = messages.slice(messages.findLastIndex(({ role }) => role !== "tool") + 1);
  if (answers.length > 0) return `The tools say: ${answers.map(({ content }) => content).join("; ")}`;
  return tools === undefined
    ? null
    : `I call the tools that you name: ${tools.list.map(({ name }) => name).join(", ")}.`;
}

/** The same for the same prompt and seed; without a temperature the seed changes nothing. */
export function seedOf(request: Request): number {
  const { temperature, seed = 0 } = request.sampling;
  const text = textsOf(request).join("\n");
  let hash = temperature === 0 ? 0 : seed;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash;
}

function firstWordOf(text: string): number {
  return (text.length + text.charCodeAt(0) + text.charCodeAt(text.length - 1)) % WORDS.length || 0;
}
