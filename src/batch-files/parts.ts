/** The parts of the server that batches of files use. */
import type { Clock } from "../common/clock.ts";
import type { FileSource } from "../files/source.ts";
import type { Logger } from "../log/log.ts";
import type { Store } from "../store/store.ts";
import type { FeedApi } from "../tasks/feed-api.ts";
import type { Idempotency } from "../tasks/idempotency.ts";
import type { TaskApi } from "../tasks/task-api.ts";
import type { LineEndpoints } from "./endpoints.ts";

export interface BatchFilesParts {
  readonly store: Pick<Store, "save" | "batchFiles">;
  /** Those that were uploaded. */
  readonly files: Pick<FileSource, "find" | "open">;
  readonly tasks: Pick<TaskApi, "batch" | "cancelMatching">;
  readonly feeding: FeedApi;
  /** That of all routes. */
  readonly idempotency: Idempotency;
  readonly endpoints: LineEndpoints;
  readonly clock: Clock;
  /** Bytes that a line may have. */
  readonly maxLineBytes: number;
  readonly log: Logger;
  /** Resolves after so many milliseconds, or when the signal aborts; for tests. */
  readonly pause?: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}
