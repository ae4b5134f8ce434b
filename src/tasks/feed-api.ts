/** How the lines of a file become the tasks of a batch, for whoever reads them. */
import type { AltLasError } from "../errors.ts";
import type { StoreRecord } from "../store/store.ts";
import type { Batch, BatchLines, LinesClosed, StrategyName, TaskInput } from "../task.ts";

/** A line that is to become a task. */
export interface LineTask {
  /** Which line, from 0; the index of the task in its batch. */
  readonly index: number;
  readonly input: TaskInput;
  readonly strategy: StrategyName;
  /** Set: the task runs there or nowhere. */
  readonly pinnedGpuId: number | null;
}

/** Lines that follow those that came before. */
export interface Chunk {
  readonly tasks: readonly LineTask[];
  /** Lines among them that become no tasks. */
  readonly refused: number;
  /** Where the line behind them begins. */
  readonly place: number;
  /** The name of the API key that they came with. */
  readonly keyName: string | null;
  /** When their tasks must be done, by the server's clock. */
  readonly deadline: number;
}

/** A line that no GPU could ever do. */
export interface RefusedLine {
  readonly index: number;
  readonly error: AltLasError;
}

export interface FeedApi {
  /**
   * Makes a batch of so many lines that are all yet to come; resolves when it is on disk, with the records.
   * @throws {AltLasError} `store_unavailable`
   */
  open(
    batch: Pick<Batch, "id" | "user" | "team" | "size">,
    place: number,
    records: readonly StoreRecord[],
  ): Promise<Batch>;
  /**
   * The lines to come are these next; resolves when they are on disk, with the records. One that no GPU could ever do is refused instead.
   * Of a batch that is closed all lines have to be refused ones.
   * @param recordsOf the records, with those of the lines that are refused here
   * @throws {AltLasError} `conflict`: the batch is closed or has ended; `rate_limited`, `queue_full`, `draining`, `no_usable_gpu`,
   *   `not_ready`, `store_unavailable`. Then nothing has come of them, and they may be tried again
   */
  feed(id: string, chunk: Chunk, recordsOf: (refused: readonly RefusedLine[]) => readonly StoreRecord[]): Promise<void>;
  /**
   * Waits until more tasks of a batch may wait, it is closed, or the signal aborts.
   * @returns how many; 0: it was closed, or has ended
   */
  room(id: string, signal: AbortSignal): Promise<number>;
  /**
   * Lets no more lines of a batch become tasks; its tasks go on. @returns the lines that were yet to come, 0: it was closed already
   * @throws {AltLasError} `store_unavailable`
   */
  close(id: string, why: LinesClosed): Promise<number>;
  /** The lines of a batch that has not ended, as they are on disk; null: there is none. */
  lines(id: string): BatchLines | null;
  /** Resolves when a batch has ended. @returns false: the server stops, or the signal aborts */
  end(id: string, signal: AbortSignal): Promise<boolean>;
}
