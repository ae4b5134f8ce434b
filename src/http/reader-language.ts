/** Answers in the language of whoever reads them: `Accept-Language`. Codes, names of fields and texts of clients stay as they are. */
import type { FastifyReply, FastifyRequest, RouteOptions } from "fastify";
import type { Caller } from "../auth/credentials.ts";
import type { AltLasError } from "../errors.ts";
import { acceptedLanguage, type Language } from "../words/language.ts";
import { inLanguage } from "../words/words.ts";
import { sentenceFor } from "./task-failure.ts";

/** Fields that have sentences of ours. Codes stand in some of them, and are no phrases of the table. */
const SENTENCES: ReadonlySet<string> = new Set([
  "error",
  "reason",
  "sentence",
  "mismatch",
  "text_gone",
  "crowded",
  "memory_note",
  // Of failures as OpenAI's API has them.
  "message",
  // Lists of sentences.
  "warnings",
  "notes",
]);

/** Fields that clients have sent, or models have written. */
const OF_OTHERS: ReadonlySet<string> = new Set([
  "request",
  "tool_calls",
  "embeddings",
  "logprobs",
  "output",
  "tools",
  "text",
  "metadata",
]);

export function languageOf({ headers }: Pick<FastifyRequest, "headers">): Language {
  return acceptedLanguage(headers["accept-language"]);
}

/** A view with its sentences in a language; the view itself where that is English. */
export function viewIn<View extends object>(language: Language, view: View): View {
  return language === "en" ? view : (translatedView(language, view) as View);
}

/** As `viewIn`, for whoever asks. */
export function forReader<View extends object>(request: Pick<FastifyRequest, "headers">, view: View): View {
  return viewIn(languageOf(request), view);
}

function translatedView(language: Language, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => translatedView(language, item));
  if (value === null || typeof value !== "object") return value;
  const fields = Object.entries(value).map(([name, field]) => {
    if (OF_OTHERS.has(name)) return [name, field] as const;
    return [name, SENTENCES.has(name) ? sentencesIn(language, field) : translatedView(language, field)] as const;
  });
  return Object.fromEntries(fields);
}

/** A sentence, a list of them, or something else. */
function sentencesIn(language: Language, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => sentencesIn(language, item));
  return typeof value === "string" ? sentenceIn(language, value) : translatedView(language, value);
}

/** Codes have no spaces. */
function sentenceIn(language: Language, text: string): string {
  return text.includes(" ") ? inLanguage(language, text) : text;
}

/** Routes that submit answer with nothing that is said, and do not pay for it. */
const SUBMITTING = /\/(?:batch_)?predict$/;

/** A hook `onRoute`: what a route answers with is in the language of whoever asks. */
export function translateAnswers(route: RouteOptions): void {
  if (SUBMITTING.test(route.url)) return;
  route.preSerialization = (request, _reply, payload, done) => done(null, forReader(request, payload as object));
}

/** The sentence of a failure within an answer that has begun, for whoever reads it. */
export function refusalFor(request: FastifyRequest, error: AltLasError, caller: Caller): string {
  return inLanguage(languageOf(request), sentenceFor(error, caller));
}

/** Says in which language a refusal is, and by which header that is chosen. */
export function tellLanguage(reply: FastifyReply, language: Language): void {
  reply.header("content-language", language);
  const before = reply.getHeader("vary");
  const names = before === undefined ? [] : [before].flat().map(String);
  reply.header("vary", [...names, "Accept-Language"].join(", "));
}
