/** Brings together the files of clients, the batches of their lines, and the files that come of these. */
import { BatchFiles } from "./batch-files/batch-files.ts";
import { Outputs } from "./batch-files/outputs.ts";
import type { Files } from "./files/files.ts";
import { allOf, type FileSource } from "./files/source.ts";
import { lineEndpoints } from "./http/openai/line-endpoints.ts";
import type { ServerParts } from "./http/server-parts.ts";
import type { Store } from "./store/store.ts";
import type { Timekeeper } from "./store/timekeeper.ts";
import type { TaskBook } from "./tasks/task-book.ts";

export interface FilesAndBatches {
  readonly uploads: Files;
  /** All that clients see. */
  readonly files: FileSource;
  readonly batchFiles: BatchFiles;
}

export function filesAndBatches(
  uploads: Files,
  {
    config,
    live,
    log,
    store,
    tasks,
    time: { clock },
  }: Pick<ServerParts, "config" | "live" | "log"> & {
    readonly store: Store;
    readonly tasks: TaskBook;
    readonly time: Pick<Timekeeper, "clock">;
  },
): FilesAndBatches {
  const endpoints = lineEndpoints({ config, live, tasks });
  const { feeding, idempotency } = tasks;
  const maxLineBytes = config.limits.max_body_bytes;
  return {
    uploads,
    files: allOf([uploads, new Outputs({ store, tasks, endpoints, clock })]),
    batchFiles: new BatchFiles({
      store,
      files: uploads,
      tasks,
      feeding,
      idempotency,
      endpoints,
      clock,
      maxLineBytes,
      log,
    }),
  };
}
