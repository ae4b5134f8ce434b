/**
 * The figures of a server, none of which is trusted: an impossible one counts as absent. All numbers of a server go through here before
 * they are shown or counted.
 */
import { type Request, sizeOf } from "../../request.ts";
import type { UpstreamFigures } from "../engine.ts";

/** More than any server has: requests at once, and tokens of context. */
const MOST_REQUESTS = 1_000_000;
const MOST_CONTEXT = 1_000_000_000;

/** Characters of a name or a version that are shown. */
const LONGEST_NAME = 200;

/** Tokens that a prompt may have beyond those of its bytes: what a template puts around it, and around each message or input. */
const AROUND_A_PROMPT = 1024;
const AROUND_A_PART = 64;
/** Bytes that one byte of a text may become before it is cut into tokens: by NFKC, U+FDFA grows elevenfold. */
const NORMALIZED = 12;

/** Known before the answer: how many tokens there may be. */
export interface Asked {
  readonly request: Request;
  /** Tokens of prompt and answer together; null: not known. */
  readonly context: number | null;
}

/** Tokens of one task, as a server counts them; null: not told. */
export interface Counted {
  readonly prompt: number | null;
  readonly completion: number | null;
  readonly cached: number | null;
}

/** A whole number from `least` to `most`; null: it is not. */
export function wholeIn(value: unknown, most = Number.MAX_SAFE_INTEGER, least = 0): number | null {
  return Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most
    ? (value as number)
    : null;
}

/** Tokens of context; null: it is none. */
export function contextIn(value: unknown): number | null {
  return wholeIn(value, MOST_CONTEXT, 1);
}

/** Requests that a server works on at once; null: it is no number of them. */
export function slotsIn(value: unknown): number | null {
  return wholeIn(value, MOST_REQUESTS, 1);
}

/** A status with which HTTP tells a failure; null: it is none. */
export function failureStatusIn(value: unknown): number | null {
  return wholeIn(typeof value === "string" ? Number(value || Number.NaN) : value, 599, 400);
}

/** Text that can be shown in one line; null: it is not. */
export function nameIn(value: unknown): string | null {
  if (typeof value !== "string" || value === "" || value.length > LONGEST_NAME) return null;
  return /\p{Cc}/u.test(value) ? null : value.toWellFormed();
}

/** The load of a server, without what cannot be true of it. */
export function plausibleLoad(told: Omit<UpstreamFigures, "ours">): Omit<UpstreamFigures, "ours"> {
  const { kvCacheUse: use } = told;
  return {
    running: wholeIn(told.running, MOST_REQUESTS),
    waiting: wholeIn(told.waiting, MOST_REQUESTS),
    kvCacheUse: use !== null && use >= 0 && use <= 1 ? use : null,
    slots: wholeIn(told.slots, MOST_REQUESTS),
  };
}

/** The tokens that one task can have at most. */
export interface TokenBounds {
  readonly prompt: number;
  readonly completion: number;
}

/** Those of a task; made once for it, as some servers count with each token. */
export function tokenBounds({ request, context }: Asked): TokenBounds {
  const parts = partsOf(request);
  // Each input of several is a prompt of its own.
  const room = (context ?? Infinity) * (request.kind === "embedding" ? parts : 1);
  const prompt = Math.min(room, sizeOf(request) * NORMALIZED + AROUND_A_PROMPT + parts * AROUND_A_PART);
  return { prompt, completion: request.sampling.maxTokens };
}

/** The counts of a server for one task, without those that cannot be true. */
export function plausibleTokens(
  told: { readonly prompt: unknown; readonly completion: unknown; readonly cached: unknown },
  most: TokenBounds,
): Counted {
  // No prompt has no token: some servers fill in zeros until they know.
  const prompt = wholeIn(told.prompt, most.prompt, 1);
  return {
    prompt,
    completion: wholeIn(told.completion, most.completion),
    cached: prompt === null ? null : wholeIn(told.cached, prompt),
  };
}

function partsOf(request: Request): number {
  switch (request.kind) {
    case "completion":
      return 0;
    case "chat":
      return request.messages.length;
    case "embedding":
      return request.inputs.length;
  }
}
