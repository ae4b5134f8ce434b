/** The note beside the task of a line (`TaskInput.note`). Its names are stored. */
export interface LineNote {
  readonly api: "line";
  readonly custom_id: string;
  readonly endpoint: string;
  /** As of `LineInput`. */
  readonly kept?: unknown;
}

/** @param text undefined: there is none @returns null: it is no line's */
export function readLineNote(text: string | undefined): LineNote | null {
  if (text === undefined) return null;
  const note = JSON.parse(text) as { readonly api: string };
  return note.api === "line" ? (note as LineNote) : null;
}
