/** Batches of files as clients of OpenAI's API see them. */
import type { BatchFileState } from "../../batch-files/batch-file-api.ts";
import { shownBatchId } from "../../batch-files/ids.ts";
import { shownFileId } from "../../files/ids.ts";
import type { BatchFile, BatchProgress } from "../../store/batch-files.ts";
import type { BatchFileStatus, BatchFileView } from "../schemas/batch-files.ts";
import { secondsOf } from "./calls.ts";

export function viewOfBatchFile({ file, progress }: BatchFileState): BatchFileView {
  const status = statusOf(file, progress);
  const { size = 0, completed = 0, failed = 0, canceled = 0 } = progress ?? {};
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
    ...timesOf(file, progress, status),
    request_counts: { total: size, completed, failed },
    metadata: file.metadata,
  };
}

function statusOf(file: BatchFile, progress: BatchProgress | null): BatchFileStatus {
  if (file.failedAt !== null) return "failed";
  if (file.canceledAt !== null) return "cancelled";
  if (file.startedAt === null) return "validating";
  // Its tasks were removed before its end was noted.
  if (progress === null) return "completed";
  const { closed, finishedAt } = progress;
  const isOver = finishedAt !== null;
  switch (closed?.why) {
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

function timesOf(file: BatchFile, progress: BatchProgress | null, status: BatchFileStatus): Times {
  const { finishedAt = null, closed = null } = progress ?? {};
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
