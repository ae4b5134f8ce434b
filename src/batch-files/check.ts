/** Looks at all lines of a file before the first of them becomes a task: a batch with a line that is no request fails as a whole. */
import { hash } from "node:crypto";
import type { LineFault } from "../store/batch-files.ts";
import type { Line } from "./lines.ts";
import { LineProblem, NO_JSON, requestOf } from "./request-lines.ts";

/** Lines of one batch, as OpenAI has it. */
export const MOST_LINES = 50_000;
/** Faults after which nothing more is looked at: who has so many does not need the next. */
const MOST_FAULTS = 100;

/** Lines that are no JSON objects, at the start of a file, after which it is taken for something else than JSONL. */
const FOREIGN_LINES = 5;

/** The result of checking the lines. */
export interface Checked {
  readonly lines: number;
  /** None: they can be a batch. */
  readonly faults: readonly LineFault[];
}

/** @param endpoint that of the batch */
export async function checkLines(parts: AsyncIterable<readonly Line[]>, endpoint: string): Promise<Checked> {
  const faults: LineFault[] = [];
  /** Of the `custom_id`s: they may be long, and are not needed here again. */
  const seen = new Set<string>();
  let lines = 0;
  for await (const part of parts) {
    for (const line of part) {
      lines++;
      if (lines > MOST_LINES) return { lines, faults: [...faults, tooMany(line)] };
      const fault = faultOf(line, endpoint, seen);
      if (fault !== null) faults.push(fault);
      if (lines === FOREIGN_LINES && isForeign(lines, faults)) return { lines, faults: [FOREIGN] };
      if (faults.length >= MOST_FAULTS) return { lines, faults };
    }
  }
  if (lines === 0) return { lines, faults: [EMPTY] };
  return { lines, faults: isForeign(lines, faults) ? [FOREIGN] : faults };
}

/** Whether none of several lines is a JSON object: a picture, or JSON with line breaks. The fault of each would say nothing. */
function isForeign(lines: number, faults: readonly LineFault[]): boolean {
  return lines > 1 && faults.length === lines && faults.every(({ code }) => code === NO_JSON);
}

function faultOf(line: Line, endpoint: string, seen: Set<string>): LineFault | null {
  try {
    const { customId } = requestOf(line, endpoint);
    const known = seen.size;
    if (seen.add(hash("sha256", customId, "base64url")).size > known) return null;
    const sentence = `custom_id is that of an earlier line; each line must have one of its own.`;
    return new LineProblem("duplicate_custom_id", sentence, "custom_id").of(line);
  } catch (error) {
    if (error instanceof LineProblem) return error.of(line);
    throw error;
  }
}

function tooMany(line: Line): LineFault {
  return new LineProblem("too_many_lines", `A batch has at most ${MOST_LINES} lines.`).of(line);
}

const FOREIGN: LineFault = {
  line: null,
  code: NO_JSON,
  sentence: "The file is not JSONL: each line must be a JSON object of its own.",
  param: null,
};
const EMPTY: LineFault = { line: null, code: "empty_file", sentence: "The file has no lines.", param: null };
