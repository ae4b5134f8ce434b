/** Batches of files as clients of OpenAI's API see them. */
import { type BatchFileState } from "../../batch-files/batch-file-api.ts";
import { shownFileId } from "../../files/ids.ts";
import { type BatchFile } from "../../store/batch-files.ts";
import { type BatchSnapshot } from "../../tasks/task-api.ts";
import { type BatchFileStatus, type BatchFileView } from "../schemas/batch-files.ts";
import { secondsOf } from "./calls.ts";

const SHOWN = /^batch_([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})$/;

export function shownBatchId(id: string): string {
  return `batch_${id.replaceAll("-", "")}`;
}

/** null: it is none. */
export function batchIdOf(shown: string): string | null {
  return SHOWN.exec(shown.toLowerCase())?.slice(1).join("-") ?? null;
}

export function viewOfBatchFile({ file, batch }: BatchFileState): BatchFileView {
  const status = statusOf(file, batch);
  const { completed = 0, failed = 0, canceled = 0 } = batch?.counts ?? {};
  return {
    id: shownBatchId(file.id),
    object: "batch",
    endpoint: file.endpoint,
    errors: errorsOf(file),
    input_file_id: shownFileId(file.inputFile),
    completion_window: file.window,
    status,
    output_file_id: completed > 0 ? fileIdOrNull(file.outputFile) : null,
    error_file_id: failed + canceled > 0 ? fileIdOrNull(file.errorFile) : null,
    created_at: secondsOf(file.createdAt),
    expires_at: secondsOf(file.expiresAt),
    ...timesOf(file, batch, status),
    request_counts: { total: batch?.batch.size ?? 0, completed, failed },
    metadata: file.metadata,
  };
}

function statusOf(file: BatchFile, batch: BatchSnapshot | null): BatchFileStatus {
  if (file.failedAt !== null) return "failed";
  if (file.canceledAt !== null) return "cancelled";
  if (file.startedAt === null) return "validating";
  // Its tasks were removed, one by one.
  if (batch === null) return "completed";
  const { lines, finishedAt } = batch.batch;
  const isOver = finishedAt !== null;
  switch (lines?.closed?.why) {
    case "canceled":
      return isOver ? "cancelled" : "cancelling";
    case "expired":
      return isOver ? "expired" : "finalizing";
    case "failed":
      return "failed";
    case undefined:
      // Its tasks have the same deadline: the last may have ended by it.
      return isOver ? (finishedAt >= file.expiresAt ? "expired" : "completed") : "in_progress";
  }
}

type Times = Pick<
  BatchFileView,
  "in_progress_at" | "finalizing_at" | "completed_at" | "failed_at" | "expired_at" | "cancelling_at" | "cancelled_at"
>;

function timesOf(file: BatchFile, batch: BatchSnapshot | null, status: BatchFileStatus): Times {
  const finishedAt = batch?.batch.finishedAt ?? null;
  const closed = batch?.batch.lines?.closed ?? null;
  const isCanceled = status === "cancelled" || status === "cancelling";
  return {
    in_progress_at: secondsOrNull(file.startedAt),
    finalizing_at: secondsOrNull(status === "finalizing" ? closed!.at : isCanceled ? null : finishedAt),
    completed_at: secondsOrNull(status === "completed" ? finishedAt : null),
    failed_at: secondsOrNull(file.failedAt),
    expired_at: secondsOrNull(status === "expired" ? (closed?.at ?? finishedAt) : null),
    cancelling_at: secondsOrNull(isCanceled ? (closed?.at ?? file.canceledAt) : null),
    cancelled_at: secondsOrNull(status === "cancelled" ? (finishedAt ?? file.canceledAt) : null),
  };
}

function errorsOf({ faults }: BatchFile): BatchFileView["errors"] {
  if (faults.length === 0) return null;
  const data = faults.map(({ code, line, sentence, param }) => ({ code, line, message: sentence, param }));
  return { object: "list", data };
}

function fileIdOrNull(id: string | null): string | null {
  return id === null ? null : shownFileId(id);
}

function secondsOrNull(milliseconds: number | null): number | null {
  return milliseconds === null ? null : secondsOf(milliseconds);
}
