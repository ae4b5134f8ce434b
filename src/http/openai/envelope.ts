/**
 * The shape of a failure. Which one a client can read follows from the path that it asked, so it is chosen here and nowhere else: clients
 * of OpenAI's API show nothing of a sentence that stands where they do not look.
 */
import { type AltLasError, ERRORS, type ErrorCode } from "../../errors.ts";
import { type Failure } from "../schemas/common.ts";
import { type OpenAiFailure } from "../schemas/openai-answers.ts";
import { pathOf, withoutHost } from "../target.ts";

export const OPENAI_PATH = "/v1";

const UNDER_V1 = /^\/v1(?:\/|$)/i;

/** Paths of OpenAI's API as clients ask for them whose base URL has lost its `/v1`. */
const WITHOUT_V1 = /^\/(?:chat\/completions|completions|embeddings|models(?:\/.+)?)$/;

/** Whether whoever asks for this target speaks OpenAI's API. */
export function isOpenAi(target: string | undefined): boolean {
  if (target === undefined) return false;
  const path = pathOf(target);
  return UNDER_V1.test(path) || WITHOUT_V1.test(path);
}

/** Codes that OpenAI's clients know by another name, and tell their users apart by. */
const NAMES: Readonly<Partial<Record<ErrorCode, string>>> = {
  prompt_too_long: "context_length_exceeded",
  unauthorized: "invalid_api_key",
  rate_limited: "rate_limit_exceeded",
};

/** The body of a failure, and its status. @param message the sentence, as whoever asks may read it */
export function failureFor(
  target: string | undefined,
  error: AltLasError,
  message = error.message,
): { readonly status: number; readonly body: Failure | OpenAiFailure } {
  if (!isOpenAi(target)) return { status: error.status, body: { error: message, code: error.code, ...error.details } };
  return { status: openAiStatus(error.code), body: openAiFailure(error, message) };
}

export function openAiFailure(error: AltLasError, message = error.message): OpenAiFailure {
  const { code, param } = error;
  return { error: { message, type: typeOf(openAiStatus(error.code)), param, code: NAMES[code] ?? code } };
}

/** The status of a failure on a path. */
export function statusFor(target: string | undefined, code: ErrorCode): number {
  return isOpenAi(target) ? openAiStatus(code) : ERRORS[code].status;
}

function openAiStatus(code: ErrorCode): number {
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

/** As nearly all targets begin; they are meant as they are. */
const USUAL = /^\/(?:api\/)?v1\//;

/** The target that was meant. */
export function withV1({ url = "/" }: { readonly url?: string }): string {
  return !USUAL.test(url) && WITHOUT_V1.test(pathOf(url)) ? OPENAI_PATH + withoutHost(url) : url;
}
