/** The note beside the task of a response, with what its task and its request do not say. */
import type { GivenFlatTool } from "../../schemas/responses.ts";

/** Its names are stored: a field that is added here is missing in notes that were written before. */
export interface ResponseNote {
  readonly api: "response";
  readonly background: boolean;
  /** Whether it can be asked for later, and gone on with. */
  readonly store: boolean;
  readonly metadata: Readonly<Record<string, string>>;
  readonly previous_response_id: string | null;
  /** The first message of its request is its instructions. */
  readonly instructions: boolean;
  /** The place of the first message of its own input in its request. */
  readonly own: number;
  readonly user: string | null;
  readonly top_logprobs: number;
  readonly parallel_tool_calls: boolean;
  /** The tools that its model is told nothing of: `tool_choice` is none. Absent: its request has them all. */
  readonly tools?: readonly GivenFlatTool[];
}

/** @param text undefined: there is none @returns null: it is no response's */
export function readNote(text: string | undefined): ResponseNote | null {
  if (text === undefined) return null;
  const note = JSON.parse(text) as { readonly api: string };
  return note.api === "response" ? (note as ResponseNote) : null;
}
