/**
 * The shape of a failure. Which one a client can read follows from the path that it asked, so it is chosen here and nowhere else: clients
 * of OpenAI's API show nothing of a sentence that stands where they do not look.
 */
import { type AltLasError, ERRORS, type ErrorCode } from "../../errors.ts";
import { type AnthropicFailure, AnthropicFailureRef } from "../schemas/anthropic-answers.ts";
import { type Failure, FailureRef } from "../schemas/common.ts";
import { type OpenAiFailure, OpenAiFailureRef } from "../schemas/openai-answers.ts";
import { pathOf, withoutHost } from "../target.ts";

export const OPENAI_PATH = "/v1";

const UNDER_V1 = /^\/v1(?:\/|$)/i;

/** Paths of OpenAI's API as clients ask for them whose base URL has lost its `/v1`. */
const WITHOUT_V1 = /^\/(?:chat\/completions|completions|embeddings|models(?:\/.+)?|responses(?:\/.+)?)$/;

/** Paths of Anthropic's API that OpenAI's does not have. */
export const ANTHROPIC = /^\/v1\/messages(?:\/|$)/i;

/** Paths of Ollama's API by which models are asked for. */
const OLLAMA = /^\/api\/(?:chat|generate|embed|embeddings|show)$/i;

/** Whose API it is that whoever asks for a target speaks. */
type Api = "own" | "openai" | "anthropic" | "ollama";

function apiOf(target: string | undefined): Api {
  if (target === undefined) return "own";
  const path = pathOf(target);
  if (ANTHROPIC.test(path)) return "anthropic";
  if (UNDER_V1.test(path) || WITHOUT_V1.test(path)) return "openai";
  return OLLAMA.test(path) ? "ollama" : "own";
}

/** Whether clients that ask for this target try again by themselves. */
export function triesAgain(target: string | undefined): boolean {
  const api = apiOf(target);
  return api === "openai" || api === "anthropic";
}

/** Codes that OpenAI's clients know by another name, and tell their users apart by. */
const NAMES: Readonly<Partial<Record<ErrorCode, string>>> = {
  prompt_too_long: "context_length_exceeded",
  unauthorized: "invalid_api_key",
  rate_limited: "rate_limit_exceeded",
  budget_exceeded: "insufficient_quota",
};

interface Answered {
  readonly status: number;
  readonly body: Failure | OpenAiFailure | AnthropicFailure;
  /** Headers that its clients look for as well. */
  readonly headers: Readonly<Record<string, string>>;
}

const NO_HEADERS: Answered["headers"] = {};

/** A failure as an answer. @param message the sentence, as whoever asks may read it */
export function failureFor(
  { target, requestId }: { readonly target: string | undefined; readonly requestId: string },
  error: AltLasError,
  message = error.message,
): Answered {
  const { code, details } = error;
  switch (apiOf(target)) {
    case "own":
    case "ollama":
      return { status: statusFor(target, code), body: { error: message, code, ...details }, headers: NO_HEADERS };
    case "openai":
      return { status: statusOfOthers(code), body: openAiFailure(error, message), headers: NO_HEADERS };
    case "anthropic": {
      const headers = { "request-id": requestId };
      return { status: statusOfOthers(code), body: anthropicFailure(error, message, requestId), headers };
    }
  }
}

/** The schema of failures on a path. */
export function failureSchemaOf(path: string): object {
  return { own: FailureRef, ollama: FailureRef, openai: OpenAiFailureRef, anthropic: AnthropicFailureRef }[apiOf(path)];
}

export function openAiFailure(error: AltLasError, message = error.message): OpenAiFailure {
  const { code, param } = error;
  const type = code === "budget_exceeded" ? "insufficient_quota" : typeOf(statusOfOthers(code));
  return { error: { message, type, param, code: NAMES[code] ?? code } };
}

export function anthropicFailure({ code, details }: AltLasError, message: string, requestId: string): AnthropicFailure {
  const error = {
    type: anthropicTypeOf(statusOfOthers(code)),
    // Programs that shorten a conversation by themselves know by these words that they have to.
    message: code === "prompt_too_long" ? `prompt is too long: ${message}` : message,
  };
  const more = Object.keys(details).length > 0 && { details };
  return { type: "error", error: { ...error, ...more }, request_id: requestId };
}

/** The status of a failure on a path. */
export function statusFor(target: string | undefined, code: ErrorCode): number {
  return apiOf(target) === "own" ? ERRORS[code].status : statusOfOthers(code);
}

function statusOfOthers(code: ErrorCode): number {
  return code === "model_not_found" ? 404 : ERRORS[code].status;
}

function typeOf(status: number): string {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

function anthropicTypeOf(status: number): string {
  if (status === 413) return "request_too_large";
  if (status === 503) return "overloaded_error";
  return status >= 500 ? "api_error" : typeOf(status);
}

/** As nearly all targets begin; they are meant as they are. */
const USUAL = /^\/(?:api\/)?v1\//;

/** The target that was meant. */
export function withV1(url: string): string {
  return !USUAL.test(url) && WITHOUT_V1.test(pathOf(url)) ? OPENAI_PATH + withoutHost(url) : url;
}
