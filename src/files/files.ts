/**
 * The files that clients have uploaded. Their bytes are beside the store, each file's under its id; the store knows the rest.
 *
 *  1. The bytes are whole and on disk before the row is written, and a row is gone before its bytes are. So what is cut off leaves bytes that
 *     no row knows, which the next start removes.
 *  2. All changes of rows follow each other: no upload finds a file to be the same as one that is being removed.
 */
import { randomUUIDv7 } from "node:crypto";
import type { Clock } from "../common/clock.ts";
import { callerLimit } from "../config/caller-limits.ts";
import type { Config } from "../config/config.ts";
import { Mutex } from "../common/mutex.ts";
import { AltLasError, messageOf } from "../errors.ts";
import { textsOf } from "../tasks/scheduler-settings.ts";
import type { FileBytes } from "../store/file-bytes.ts";
import { FolderBytes } from "../store/folder-bytes.ts";
import type { FileFilter, FileIdentity, FileLimits, StoredFile } from "../store/files.ts";
import type { Store, StoreLog } from "../store/store.ts";
import { shownFileId, timeOfId } from "./ids.ts";
import { FileRoom, type RoomLimits } from "./room.ts";
import type { FileContent, FileInfo, FileSource } from "./source.ts";
import { tidy } from "./tidy.ts";
import { Upload } from "./upload.ts";

export interface FilesParts {
  /** It may have the bytes, too; else they are in the data directory. */
  readonly store: Pick<Store, "save" | "files"> & { readonly bytes?: FileBytes };
  readonly dataDir: string;
  readonly clock: Clock;
  /** The configuration as it holds now. */
  readonly live: { readonly config: Pick<Config, "limits" | "tasks" | "store" | "callers"> };
  /** How many users there are: with several, one of them may have half of all bytes. */
  readonly users: () => number;
  readonly log: StoreLog;
}

/** The facts that a client states of a file that it has sent. */
export type FileFacts = Pick<StoredFile, "purpose" | "filename" | "lifetime">;

/** The identity of a file, and whose it is now. */
type Identity = FileIdentity & Pick<StoredFile, "team">;

/** Uploads at once, of one user and in all: each takes one of the few threads that wait for the disk while it writes. */
const UPLOADS_OF_USER = 8;
const UPLOADS = 32;
/** Files that one step of a sweep removes at most. */
const STEP = 100;

export class Files implements FileSource {
  readonly #parts: FilesParts;
  readonly #bytes: FileBytes;
  readonly #room: FileRoom;
  readonly #changes = new Mutex();
  /** Uploads under way: how each is given up, and whose it is. */
  readonly #underWay = new Map<AbortController, string>();
  #isStopping = false;
  /** Resolves when what an earlier run left is gone, and what is stored is counted. */
  #ready: Promise<void> | null = null;
  #isNew = false;
  #onIdle: (() => void) | undefined;

  constructor(parts: FilesParts) {
    this.#parts = parts;
    this.#bytes = parts.store.bytes ?? FolderBytes.of(parts.dataDir);
    this.#room = new FileRoom((user) => limitsOf(user, parts));
  }

  /**
   * To be called once the store is open. Uploads wait for what is returned, which nobody else has to.
   * @param isNew whether its database was made by this start: bytes that are there are another's
   */
  start(isNew: boolean): Promise<void> {
    this.#isNew = isNew;
    return this.#untilReady().catch(() => undefined);
  }

  /** Looks through the folder, again when that has failed before: the database may be back. */
  #untilReady(): Promise<void> {
    this.#ready ??= this.#start(this.#isNew).catch((error: unknown) => {
      this.#ready = null;
      this.#parts.log.error({ reason: messageOf(error) }, "uploaded files could not be looked through");
      if (error instanceof AltLasError) throw error;
      throw new AltLasError("store_unavailable", "The folder of uploaded files cannot be used; the log says why.");
    });
    return this.#ready;
  }

  /** Ends the uploads under way; resolves when nothing of them is left. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const given of this.#underWay.keys()) given.abort(stopping());
    await this.#ready?.catch(() => undefined);
    if (this.#underWay.size > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
  }

  /**
   * Takes a file while it comes, and calls `work` to write it.
   * @param owner whose it will be
   * @param given is aborted when it is to be given up, for the reason that its client is told; a stop of the server aborts it, too
   * @param work writes all of it, and returns what its client says of it
   * @throws {AltLasError} `rate_limited`, `overloaded`: too many at once; `draining`; `unsupported`: no texts of the user are stored; as
   *   `Upload`. Errors that `work` throws
   */
  async receive(
    owner: Pick<StoredFile, "user" | "team">,
    given: AbortController,
    work: (upload: Pick<Upload, "write">) => Promise<FileFacts>,
  ): Promise<FileInfo> {
    const { user } = owner;
    this.#refuseUnstored(owner);
    this.#begin(user, given);
    try {
      await this.#untilReady();
      await using upload = await Upload.begin({
        to: this.#bytes,
        maxBytes: this.#parts.live.config.limits.max_file_bytes,
        room: this.#room.hold(user),
        signal: given.signal,
      });
      given.signal.throwIfAborted();
      const { purpose, filename, lifetime } = await work(upload);
      const identity = { ...owner, purpose, filename, sha256: await upload.whole() };
      const kept = this.#lifetimeFor(owner, lifetime);
      return this.#shown(await this.#changes.run("", () => this.#store(upload, identity, kept)));
    } finally {
      this.#underWay.delete(given);
      if (this.#underWay.size === 0) this.#onIdle?.();
    }
  }

  /** @throws {AltLasError} `rate_limited`, `files_full`: so many bytes more could not be stored now */
  refuseIfFull(user: string, bytes: number): void {
    this.#room.refuseIfFull(user, bytes);
  }

  async find(id: string): Promise<FileInfo | null> {
    const file = await this.#parts.store.files.find(id);
    return file && this.#shown(file);
  }

  async list(filter: FileFilter): Promise<FileInfo[]> {
    return (await this.#parts.store.files.list(filter)).map((file) => this.#shown(file));
  }

  async open({ id, bytes }: FileInfo, from = 0): Promise<FileContent> {
    const kept = await this.#bytes.open(id).catch((error: unknown) => {
      if (error instanceof AltLasError) throw error;
      const why = (error as NodeJS.ErrnoException).code ?? messageOf(error);
      throw new AltLasError("store_unavailable", `${shownFileId(id)} cannot be read now (${why}).`, { cause: error });
    });
    if (kept === null) throw this.#lost(id, "they are not there");
    if (kept.size === bytes) return { stream: kept.stream(from), bytes: bytes - from };
    await kept.close();
    throw this.#lost(id, `there are ${kept.size} of them instead of ${bytes}`);
  }

  async remove({ id, user, bytes }: FileInfo): Promise<void> {
    await this.#untilReady();
    await this.#changes.run("", async () => {
      const done = await this.#remove(id, user, bytes);
      if (done === "absent") throw new AltLasError("not_found", `There is no file ${shownFileId(id)} any more.`);
      if (done === "held") throw new AltLasError("conflict", `A batch still needs ${shownFileId(id)}.`);
    });
  }

  /** Removes a file of a user that is forgotten. @returns false: something still needs it */
  async forget({ id, user, bytes }: Pick<StoredFile, "id" | "user" | "bytes">): Promise<boolean> {
    await this.#untilReady();
    return (await this.#changes.run("", () => this.#remove(id, user, bytes))) !== "held";
  }

  /** Removes files that have been kept long enough, in one small step. @returns whether there may be more */
  async removeDue(limits: FileLimits): Promise<boolean> {
    // Bytes that are not counted yet cannot be given back.
    await this.#untilReady();
    return this.#changes.run("", async () => {
      const due = await this.#parts.store.files.due(limits, STEP);
      for (const { id, user, bytes } of due) await this.#remove(id, user, bytes);
      return due.length === STEP;
    });
  }

  async #start(isNew: boolean): Promise<void> {
    const { store, log } = this.#parts;
    await tidy({ files: store.files, bytes: this.#bytes, isNew, log });
    this.#room.add(await store.files.totals());
  }

  #begin(user: string, given: AbortController): void {
    if (this.#isStopping) throw stopping();
    const own = this.#underWay.values().reduce((count, one) => count + (one === user ? 1 : 0), 0);
    if (own >= UPLOADS_OF_USER) {
      const sentence = `${user} has ${own} uploads under way, which is the most. Try again when one has ended.`;
      throw new AltLasError("rate_limited", sentence);
    }
    if (this.#underWay.size >= UPLOADS) {
      const sentence = `${UPLOADS} uploads are under way, which is the most. Try again when one has ended.`;
      throw new AltLasError("overloaded", sentence);
    }
    this.#underWay.set(given, user);
  }

  /** The bytes are on disk. */
  async #store(upload: Upload, identity: Identity, lifetime: number | null): Promise<StoredFile> {
    const { store, clock } = this.#parts;
    const same = await store.files.same(identity);
    if (same !== null) return this.#renew({ ...same, ...identity }, upload, lifetime);
    const id = randomUUIDv7();
    const { bytes } = upload;
    const file: StoredFile = { id, ...identity, bytes, createdAt: timeOfId(id), keptFrom: clock.now(), lifetime };
    await upload.moveTo(id);
    try {
      await store.save([], [{ kind: "file", file }]);
    } catch (error) {
      await this.#bytes.remove(id);
      throw error;
    }
    upload.keep();
    return file;
  }

  /** The same file again: it is kept as long as if it had come now. */
  async #renew(file: StoredFile, upload: Upload, lifetime: number | null): Promise<StoredFile> {
    const { store, clock } = this.#parts;
    const isShorter = this.#lifetime(lifetime) < this.#lifetime(file.lifetime);
    const renewed = { ...file, keptFrom: clock.now(), lifetime: isShorter ? file.lifetime : lifetime };
    // Its bytes may have been lost.
    if (!(await this.#isWhole(file))) await upload.moveTo(file.id);
    await store.save([], [{ kind: "file", file: renewed }]);
    return renewed;
  }

  async #isWhole({ id, bytes }: StoredFile): Promise<boolean> {
    return this.#bytes.size(id).then(
      (size) => size === bytes,
      () => false,
    );
  }

  async #remove(id: string, user: string, bytes: number): Promise<"removed" | "held" | "absent"> {
    const done = await this.#parts.store.files.remove(id);
    if (done !== "removed") return done;
    this.#room.give(user, bytes);
    await this.#bytes
      .remove(id)
      .catch((error: unknown) =>
        this.#parts.log.warn(
          { file: id, reason: messageOf(error) },
          "the bytes of a removed file stay until the next start",
        ),
      );
    return done;
  }

  #refuseUnstored(owner: Pick<StoredFile, "user" | "team">): void {
    if (textsOf(this.#parts.live.config, owner) !== "never") return;
    const sentence = `Files cannot be uploaded: no texts of ${owner.user} are stored (store.texts of the configuration, callers.users or callers.teams). Send them with each request.`;
    throw new AltLasError("unsupported", sentence);
  }

  /** Where texts are kept until they are read only, no file is kept for longer than they may wait for that. */
  #lifetimeFor(owner: Pick<StoredFile, "user" | "team">, given: number | null): number | null {
    const { config } = this.#parts.live;
    if (textsOf(config, owner) === "keep") return given;
    return Math.min(this.#lifetime(given), config.store.unread_seconds * 1000);
  }

  #lost(id: string, reason: string): AltLasError {
    this.#parts.log.warn({ file: id, reason }, "the bytes of a file are lost");
    return new AltLasError("not_found", `The content of ${shownFileId(id)} is lost. Upload it again.`);
  }

  /** Milliseconds. */
  #lifetime(own: number | null): number {
    return own ?? this.#parts.live.config.tasks.retention * 1000;
  }

  #shown({ id, user, team, purpose, filename, bytes, createdAt, keptFrom, lifetime }: StoredFile): FileInfo {
    const expiresAt = keptFrom + this.#lifetime(lifetime) + this.#parts.clock.ahead;
    return { id, user, team, purpose, filename, bytes, createdAt, expiresAt };
  }
}

/** With several users each may have half, and less where its own limit says so. */
function limitsOf(user: string, { live, users }: FilesParts): RoomLimits {
  const { limits, callers } = live.config;
  const inAll = limits.max_stored_file_bytes;
  const share = users() > 1 ? Math.floor(inAll / 2) : inAll;
  const own = callerLimit(callers, user, "max_uploaded_bytes");
  const ofUser =
    own !== null && own.most < share
      ? { most: own.most, why: `of ${own.setIn}` }
      : { most: share, why: "that limits.max_stored_file_bytes leaves one user" };
  return { inAll, ofUser, files: callerLimit(callers, user, "max_files") };
}

function stopping(): AltLasError {
  return new AltLasError("draining", "The server is stopping and takes no files.", { retryAfter: 5 });
}
