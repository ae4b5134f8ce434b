/** The server's API, with the credentials of whoever has signed in. Every failure is an `ApiError` with a sentence to show. */
import { signal } from "@preact/signals";
import { language, t } from "./i18n.js";

/** A refusal of the server, or none of its answers came. */
export class ApiError extends Error {
  /**
   * @param {string} sentence
   * @param {number} status 0: the server could not be reached
   * @param {string} code
   */
  constructor(sentence, status, code) {
    super(sentence);
    this.status = status;
    this.code = code;
  }
}

/** The Authorization header of whoever has signed in; null: nobody, or nobody has to. @type {import("@preact/signals").Signal<string | null>} */
export const authorization = signal(null);

/** Whether the server knows the browser by a cookie: somebody has signed in with the issuer. */
export const hasCookie = signal(false);

/** Called with the server's sentence when it does not take the credentials any more. @type {{ call: (sentence: string) => void }} */
export const onRefused = { call: () => {} };

/** Where the API is: beside the page, whatever path a proxy has put before both. */
export const API = new URL("./api/v1/", document.baseURI);

/**
 * @typedef {object} CallOptions
 * @property {unknown} [body] sent as JSON
 * @property {Readonly<Record<string, string | number | undefined>>} [query] undefined is left out
 * @property {Readonly<Record<string, string>>} [headers]
 * @property {AbortSignal} [signal]
 */

/**
 * @param {string} path like `gpus/0`, its parts encoded where they may be anything
 * @param {CallOptions["query"]} [query]
 */
export function apiUrl(path, query = {}) {
  const url = new URL(path, API);
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value));
  return url;
}

/**
 * The answer to one request, when its head is there; for streams and files.
 * @param {string} method
 * @param {string} path
 * @param {CallOptions} [options]
 * @throws {ApiError | DOMException} the latter when it was aborted
 */
export async function open(method, path, { body, query, headers, signal: aborted } = {}) {
  const sent = authorization.value;
  let response;
  try {
    response = await fetch(apiUrl(path, query), {
      method,
      // Else a browser would ask for a password itself, in a window of its own; one with a cookie the server offers no password.
      credentials: hasCookie.value ? "same-origin" : "omit",
      cache: "no-store",
      ...(aborted && { signal: aborted }),
      headers: {
        // The server's sentences are in the language of the page.
        "accept-language": language.value,
        ...(sent !== null && { authorization: sent }),
        ...(body !== undefined && { "content-type": "application/json" }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  } catch (error) {
    if (aborted?.aborted) throw error;
    throw new ApiError(t("app.unreachable"), 0, "unreachable");
  }
  if (response.ok) return response;
  const error = await failureOf(response);
  // Not when somebody else has signed in since.
  if (error.status === 401 && sent === authorization.value) onRefused.call(error.message);
  throw error;
}

/** @param {Response} response */
async function failureOf(response) {
  /** @type {{ error?: unknown, code?: unknown }} */
  let answer = {};
  try {
    answer = await response.json();
  } catch {
    // A proxy's own page.
  }
  const { error = t("app.unexpected", { status: response.status }), code = "unexpected" } = answer;
  return new ApiError(String(error), response.status, String(code));
}

/**
 * The JSON that the server answers with.
 * @template Answer
 * @param {string} method
 * @param {string} path
 * @param {CallOptions} [options]
 * @returns {Promise<Answer>}
 */
export async function call(method, path, options) {
  const response = await open(method, path, options);
  try {
    return await response.json();
  } catch (error) {
    if (options?.signal?.aborted) throw error;
    throw new ApiError(t("app.unreachable"), 0, "unreachable");
  }
}

/** @template Answer @param {string} path @param {CallOptions["query"]} [query] @returns {Promise<Answer>} */
export const get = (path, query) => call("GET", path, query && { query });

/** @template Answer @param {string} path @param {unknown} [body] @returns {Promise<Answer>} */
export const post = (path, body) => call("POST", path, body === undefined ? {} : { body });

/** The sentence of whatever was thrown. @param {unknown} error */
export function sentenceOf(error) {
  return error instanceof Error ? error.message : String(error);
}
