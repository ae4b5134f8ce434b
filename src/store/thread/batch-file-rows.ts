/* The rows of batches that come from files, and of their lines that are no tasks. */
import type { TaskStatus } from "../../task.ts";
import type { BatchFile, LineFailure, RefusedLine } from "../batch-files.ts";
import type { BatchState } from "../tasks.ts";
import { type Columns, namesOf, placesOf, rowMaker, type Row } from "./columns.ts";

const BATCH_FILE_COLUMNS = {
  id: ({ id }) => id,
  user: ({ user }) => user,
  output_file: ({ outputFile }) => outputFile,
  error_file: ({ errorFile }) => errorFile,
  team: ({ team }) => team,
  facts: ({ id: _id, user: _user, team: _team, outputFile: _output, errorFile: _errors, endedAt: _end, ...facts }) =>
    JSON.stringify(facts),
  ended_at: ({ endedAt }) => endedAt,
} as const satisfies Columns<BatchFile>;

const LINE_COLUMNS = {
  seq: ({ seq }) => seq,
  custom_id: ({ customId }) => customId,
  failure: ({ failure }) => JSON.stringify(failure),
} as const satisfies Columns<RefusedLine>;

export const BATCH_FILE = namesOf(BATCH_FILE_COLUMNS);
export const REFUSED_LINE = namesOf(LINE_COLUMNS);
export const rowOfBatchFile = rowMaker<BatchFile>(BATCH_FILE_COLUMNS);
export const rowOfRefusedLine = rowMaker<RefusedLine>(LINE_COLUMNS);
const IN_BATCH_FILE = placesOf(BATCH_FILE);
const IN_LINE = placesOf(REFUSED_LINE);

/** The batch of a row of `BATCH_FILE`. */
export function batchFileOf(row: Row): BatchFile {
  const facts = JSON.parse(row[IN_BATCH_FILE.facts] as string) as Omit<BatchFile, "id" | "user" | "team">;
  return {
    ...facts,
    id: row[IN_BATCH_FILE.id] as string,
    user: row[IN_BATCH_FILE.user] as string,
    team: row[IN_BATCH_FILE.team] as string | null,
    outputFile: row[IN_BATCH_FILE.output_file] as string | null,
    errorFile: row[IN_BATCH_FILE.error_file] as string | null,
    endedAt: row[IN_BATCH_FILE.ended_at] as number | null,
  };
}

/** The line of a row of `REFUSED_LINE`. */
export function refusedLineOf(row: Row): RefusedLine {
  return {
    seq: row[IN_LINE.seq] as number,
    customId: row[IN_LINE.custom_id] as string | null,
    failure: JSON.parse(row[IN_LINE.failure] as string) as LineFailure,
  };
}

/** The id behind a row of `BATCH_FILE` that was read for one of its files. */
export function outputIdOf(row: Row): string {
  return row[BATCH_FILE.length] as string;
}

/** A batch with its lines that are no tasks. @param state of its tasks alone */
export function withLines({ batch, counts, unbound }: BatchState): BatchState {
  const { lines } = batch;
  if (lines === null) return { batch, counts, unbound };
  const { toCome, closed } = lines;
  const all: Record<TaskStatus, number> = { ...counts };
  all.failed += lines.failed;
  all.canceled += lines.canceled;
  all[closed === null ? "queued" : closed.why === "canceled" ? "canceled" : "failed"] += toCome;
  return { batch, counts: all, unbound: unbound + (closed === null ? toCome : 0) };
}
