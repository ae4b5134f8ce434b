import { startedModule } from "../../common/started-module.ts";
import { AltLasError } from "../../errors.ts";
import { tellOperators } from "../../topics.ts";
import type { News, Opening, StoreLimits } from "../thread/messages.ts";
import { ThreadStore, type ThreadStoreLog } from "../thread/thread-store.ts";

export interface SqliteStoreOptions extends StoreLimits {
  /** The database file; it and its folder are created when missing. */
  readonly path: string;
  readonly log?: ThreadStoreLog;
  /** Another program for the thread; for tests. */
  readonly thread?: URL;
}

/**
 * A store in one SQLite file, which belongs to one process at a time.
 *
 * A damaged file goes into quarantine, with its log: it is renamed to `<path>.damaged-<time>`. `open` throws an `AltLasError`: `conflict`
 * when another server uses the file, `bad_config` when it is another program's, a newer version's, or cannot be used at that path,
 * `store_unavailable` when it is damaged and cannot be moved.
 */
export class SqliteStore extends ThreadStore {
  readonly #path: string;
  readonly #log: ThreadStoreLog | undefined;
  /** The copy under way. */
  #copy: PromiseWithResolvers<number> | undefined;

  constructor({ path, log, thread, cacheBytes, maxPages }: SqliteStoreOptions) {
    const program = thread ?? startedModule("./thread", import.meta.url);
    super({ place: { path, limits: { cacheBytes, maxPages } }, program, named: { path }, log });
    this.#path = path;
    this.#log = log;
  }

  /**
   * Copies the database as of one moment into a new file, while it is read and written as always. One copy at a time.
   * @returns the number of the last migration that it has
   * @throws {AltLasError} `conflict` when another copy is under way, `store_unavailable` when it fails or the signal is aborted
   */
  async copy(path: string, signal: AbortSignal): Promise<number> {
    if (this.#copy !== undefined) throw new AltLasError("conflict", "Another copy of the database is under way.");
    const copy = Promise.withResolvers<number>();
    this.#copy = copy;
    const stop = (): void => void this.ask("stopCopy", {}).catch(() => undefined);
    signal.addEventListener("abort", stop);
    try {
      await this.request("copy", { path });
      if (signal.aborted) stop();
      return await copy.promise;
    } finally {
      signal.removeEventListener("abort", stop);
      this.#copy = undefined;
    }
  }

  protected override onOpened({ quarantined }: Opening): void {
    if (quarantined === null) return;
    const path = this.#path;
    this.#log?.error(
      { path, movedTo: quarantined.path, reason: quarantined.reason },
      `${path} is damaged (${quarantined.reason}); it was moved to ${quarantined.path}, and an empty database was made in its place`,
    );
    const sentence = `${path} is damaged (${quarantined.reason}); it was moved to ${quarantined.path}.`;
    tellOperators({ kind: "store", event: "quarantined", sentence });
  }

  protected override onNews(news: News): void {
    if (news.kind !== "copied") return super.onNews(news);
    if (news.schema !== null) return this.#copy?.resolve(news.schema);
    const sentence = `The database could not be copied: ${news.reason}.`;
    this.#copy?.reject(new AltLasError("store_unavailable", sentence));
  }

  protected override onThreadEnd(error: AltLasError): void {
    this.#copy?.reject(error);
    super.onThreadEnd(error);
  }
}
