/** Decides who is to blame when a server does not do its work. */
import type { Request } from "../../request.ts";
import type { UpstreamError } from "../upstream/upstream.ts";
import { FIELD_OF } from "./answer-fields.ts";
import type { Dialect } from "./dialect.ts";

/**
 * `full`: nobody, it has no room now; `task`: the task itself, it would be refused again; `unsupported`: nobody, it cannot do that;
 * `closed`: it is closed to all tasks until somebody mends that; `server`: anything else, and the task may be tried elsewhere.
 */
export type Blame = "full" | "task" | "unsupported" | "closed" | "server";

/** Not implemented: vLLM says so of a field, llama-server of a route that it was not started for. */
const UNSUPPORTED = 501;

/** Wrong key, no right, no money, no such model or route. */
const CLOSED = new Set([401, 402, 403, 404, 405, 410]);

/** Too slow, too early and a failure behind the server are 4xx too. */
const ITS_OWN_FAULT = new Set([408, 424, 425]);

export function blameFor(error: UpstreamError, { statusOf }: Pick<Dialect, "statusOf">): Blame {
  const status = statusOf?.(error.words) ?? error.status;
  if (status === 429 || status === 503) return "full";
  // The word is ALT_LAS's.
  if (status === UNSUPPORTED || error.code === "unsupported") return "unsupported";
  if (status === null || status < 400 || status >= 500 || ITS_OWN_FAULT.has(status)) return "server";
  return CLOSED.has(status) ? "closed" : "task";
}

/** Whether a refusal says that a prompt, or a prompt and its answer, is longer than the server can take. */
export function isAboutLength(words: string): boolean {
  return /context|too (long|large)|exceeds?\b|max(imum)?[_ ].*tokens|(less|fewer|more) than \d+ tokens/i.test(words);
}

/** The field of a request that a refusal is about; null: none of those that a server may lack. */
export function fieldRefused(request: Request, words: string): string | null {
  if (request.kind === "embedding") return null;
  if (request.logprobs !== undefined && /logprob|logits/i.test(words)) return FIELD_OF.logprobs;
  if (request.kind === "chat" && request.tools !== undefined && /tool|function/i.test(words)) return FIELD_OF.tools;
  if (request.format !== undefined && /schema|grammar|response_?format|json|guided|structured|regex/i.test(words))
    return FIELD_OF.json_schema;
  // The schemas of tools become grammars too.
  return request.kind === "chat" && request.tools !== undefined && /schema|grammar/i.test(words)
    ? FIELD_OF.tools
    : null;
}
