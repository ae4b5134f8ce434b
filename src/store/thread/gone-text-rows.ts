/* The columns of a task whose texts are removed, as far as they are left. */
import type { ErrorCode } from "../../errors.ts";
import { errorWithoutText } from "../../gone-texts.ts";
import type { Sampling } from "../../request.ts";
import { withoutErrors } from "./attempts.ts";
import { parsed, withoutStop } from "./rows.ts";

/** The columns that are emptied. */
export const TEXT_COLUMNS = ["result_text", "reasoning", "embeddings", "beside", "logprobs"] as const;

/** The values that a list has in the place of columns with texts: none, of tasks whose texts are not simply kept. */
export const LISTED_TEXTS: Readonly<Record<string, string>> = Object.fromEntries(
  TEXT_COLUMNS.map((name) => [name, `CASE WHEN texts IS NULL THEN ${name} END`]),
);

/** Columns that lose a part. */
export interface Worded {
  readonly attempts: string;
  readonly sampling: string | null;
  readonly error_code: ErrorCode | null;
  readonly error_sentence: string | null;
}

export function withoutWords({ attempts, sampling, error_code: code, error_sentence: sentence }: Worded) {
  const drawn = parsed<Sampling>(sampling);
  return {
    attempts: withoutErrors(attempts),
    sampling: drawn && JSON.stringify(withoutStop(drawn)),
    error: code && errorWithoutText({ code, sentence: sentence ?? "" }).sentence,
  };
}

/** A line of a batch is still to be told by the name that its client gave it. @returns null: nothing of the note is left */
export function shortNote(note: string): string | null {
  const { custom_id } = JSON.parse(note) as { readonly custom_id?: string };
  return custom_id === undefined ? null : JSON.stringify({ custom_id });
}

/** The body of a delivery. */
export function withoutResult(body: string): string {
  const { data = {}, ...message } = JSON.parse(body) as { data?: Readonly<Record<string, unknown>> };
  const { result: _result, error: _error, attempts: _attempts, stop: _stop, ...rest } = data;
  return JSON.stringify({ ...message, data: { ...rest, texts: "removed" } });
}
