import { hostname } from "node:os";
import { steadyTime } from "../../common/clock.ts";
import { startedModule } from "../../common/started-module.ts";
import { AltLasError } from "../../errors.ts";
import { lockDataDir } from "../data-dir-lock.ts";
import type { FileBytes } from "../file-bytes.ts";
import type { FileLock } from "../file-lock.ts";
import { BY_POSTGRES, type Opened } from "../store.ts";
import { PostgresBytes } from "./file-bytes.ts";
import type { AboutMember, News } from "../thread/messages.ts";
import { ThreadStore, type ThreadStoreLog } from "../thread/thread-store.ts";

export interface PostgresStoreOptions {
  /** Like `postgres://user:password@host:5432/database`. */
  readonly url: string;
  /** Where its tables are; it is made when missing. */
  readonly schema: string;
  /** Named to another server that finds this one in the database. */
  readonly dataDir: string;
  readonly log?: ThreadStoreLog;
  /** It is a server of a cluster, which is to lead. */
  readonly member?: AboutMember | undefined;
}

/**
 * A store in a schema of a database on a PostgreSQL server, which one server of ALT_LAS uses at a time. When that database cannot be
 * reached, saves and reads are refused until it can; a save whose commit was not answered waits until it is known what became of it.
 */
export class PostgresStore extends ThreadStore {
  /** The bytes of files are rows, too. */
  readonly bytes: FileBytes = new PostgresBytes((kind, request) => this.request(kind, request));
  readonly #dataDir: string;
  readonly #member: { stale: string | null } | undefined;
  #lock: FileLock | undefined;
  /** When it was opened, though that is asked for again. */
  #asked: number | undefined;
  #renewed = -Infinity;

  constructor({ url, schema, dataDir, log, member }: PostgresStoreOptions) {
    const itself = member && { ...member };
    const about = { host: hostname(), process: process.pid, dataDir, member: itself };
    const program = startedModule("./thread", import.meta.url);
    super({ place: { url, schema, about }, program, named: {}, log });
    this.#dataDir = dataDir;
    this.#member = itself;
  }

  /** As `open`, for a server of a cluster. @param stale what the lease says that it may take; null: there is none, or it was given back */
  lead(stale: string | null): Promise<Opened> {
    this.#member!.stale = stale;
    return this.open();
  }

  /** Also the folder of the other data is for one server at a time, whatever database each has. */
  override async open(): Promise<Opened> {
    this.#lock ??= lockDataDir(this.#dataDir);
    this.#asked ??= steadyTime();
    return super.open();
  }

  protected override onOpened(): void {
    this.#renewed = Math.max(this.#renewed, this.#asked!);
  }

  /** Until when, in `steadyTime`, the database had surely been this server's, as far as is known; -Infinity: it is not any more. */
  get renewed(): number {
    return this.lost.aborted ? -Infinity : this.#renewed;
  }

  /** A small file of the data directory of whichever server leads; null: there is none. */
  async sharedFile(name: string): Promise<string | null> {
    return (await this.request("sharedFile", { name })).value;
  }

  async sharedFiles(prefix: string): Promise<ReadonlyMap<string, string>> {
    return new Map((await this.request("sharedFiles", { prefix })).value);
  }

  /** @param body null: it is to go */
  async putSharedFile(name: string, body: string | null): Promise<void> {
    await this.request("putSharedFile", { name, body });
  }

  protected override onNews(news: News): void {
    if (news.kind === "renewed") this.#renewed = news.asked;
    else super.onNews(news);
  }

  override async close(): Promise<void> {
    await super.close();
    this.#lock?.release();
    this.#lock = undefined;
  }

  /** @throws {AltLasError} `conflict`: it says how the database is copied */
  copy(): Promise<number> {
    return Promise.reject(new AltLasError("conflict", BY_POSTGRES));
  }
}
