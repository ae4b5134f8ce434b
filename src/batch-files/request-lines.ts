/** Fields of a line of a batch around the body of its request. */
import { parseJson } from "../common/parse-json.ts";
import { shown } from "../common/validation.ts";
import { AltLasError } from "../errors.ts";
import type { LineFault } from "../store/batch-files.ts";
import type { Line } from "./lines.ts";

/** Characters of a `custom_id`: it is kept beside its task, and stands in the results. */
const LONGEST_ID = 512;
/** As of a body of its own with the most tokens (embeddings), which is more than others may have: ten million would take seconds to parse. */
const MOST_PARTS = 1_200_000;

/** The code of a line that is no JSON object. */
export const NO_JSON = "invalid_json_line";
/** To the parser each line is line 1, which contradicts its number in the file. */
const PLACE_IN_ITSELF = / \(line 1 column \d+\)(?=\.$)/;

/** The request of a line. */
export interface LineRequest {
  readonly customId: string;
  readonly body: object;
}

/** Why a line is no request of its batch. */
export class LineProblem extends Error {
  readonly code: string;
  readonly param: string | null;

  constructor(code: string, sentence: string, param: string | null = null) {
    super(sentence);
    this.code = code;
    this.param = param;
  }

  of({ number }: Line): LineFault {
    return { line: number, code: this.code, sentence: this.message, param: this.param };
  }
}

/** @param endpoint that of its batch @throws {LineProblem} it is none */
export function requestOf({ bytes }: Line, endpoint: string): LineRequest {
  if (bytes === null) {
    throw new LineProblem("line_too_long", "The line is longer than a body may be (limits.max_body_bytes).");
  }
  const { custom_id: id, method, url, body } = objectOf(bytes);
  if (id === undefined || id === null) throw missing("custom_id", "a string that no other line has");
  if (typeof id !== "string" || id.length === 0 || id.length > LONGEST_ID) {
    throw wrong("custom_id", `a string of 1 to ${LONGEST_ID} characters`, id);
  }
  if (method !== "POST") throw wrong("method", '"POST"', method, "invalid_method");
  if (url !== endpoint) throw wrong("url", `${JSON.stringify(endpoint)}, as the batch has it`, url, "invalid_url");
  if (body === undefined || body === null) throw missing("body", "the body of a request");
  if (typeof body !== "object" || Array.isArray(body)) throw wrong("body", "an object", body);
  return { customId: id.toWellFormed(), body };
}

function objectOf(bytes: Buffer): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = parseJson(bytes, MOST_PARTS, "The line");
  } catch (error) {
    if (error instanceof AltLasError) throw new LineProblem(NO_JSON, error.message.replace(PLACE_IN_ITSELF, ""));
    throw error;
  }
  if (value !== null && typeof value === "object" && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new LineProblem(NO_JSON, `The line must be a JSON object; got ${shown(value)}.`);
}

function missing(field: string, what: string): LineProblem {
  return new LineProblem("missing_required_parameter", `${field} is missing; it must be ${what}.`, field);
}

function wrong(field: string, allowed: string, given: unknown, code = "invalid_request"): LineProblem {
  return new LineProblem(code, `${field} must be ${allowed}; got ${shown(given)}.`, field);
}
