/* The port of files: what is known of the bytes that clients have uploaded, and who still needs them. The bytes are elsewhere (src/files). */

/** A file that a client has uploaded. */
export interface StoredFile {
  /** A UUID whose first 48 bits are `createdAt` (version 7). */
  readonly id: string;
  readonly user: string;
  /** The team that its user was in when it was uploaded last; null: none. */
  readonly team: string | null;
  readonly purpose: string;
  readonly filename: string;
  readonly bytes: number;
  /** Of its bytes, in hexadecimal digits. */
  readonly sha256: string;
  /** As it is shown; Unix milliseconds. */
  readonly createdAt: number;
  /** Since when its lifetime counts, by the server's clock. */
  readonly keptFrom: number;
  /** Milliseconds that it is kept; null: as long as tasks are. */
  readonly lifetime: number | null;
}

/** Files that are the same for the user who has uploaded them. */
export type FileIdentity = Pick<StoredFile, "user" | "purpose" | "filename" | "sha256">;

export type FileRecord =
  /** A new file, or the present state of a stored one. */
  | { readonly kind: "file"; readonly file: StoredFile }
  /** Something needs a file: it cannot be removed until that is released. The save is refused when there is no such file. */
  | { readonly kind: "file_hold"; readonly id: string; readonly holder: string }
  /** Nothing happens when it is not held. */
  | { readonly kind: "file_release"; readonly id: string; readonly holder: string };

/** A place in a list of files, which are in the order of their times and ids. */
export type FilePlace = Pick<StoredFile, "id" | "createdAt">;

/** Which files to list; undefined: any. */
export interface FileFilter {
  readonly user: string | undefined;
  readonly team?: string | undefined;
  readonly purpose: string | undefined;
  readonly order: "asc" | "desc";
  /** Only what comes after this place, in the order of the list. */
  readonly after: FilePlace | undefined;
  readonly limit: number;
}

/** Which files have been kept long enough. Times are by the server's clock. */
export interface FileLimits {
  /** Of those that have no lifetime of their own: kept since before. */
  readonly keptBefore: number;
  /** The others: when their lifetime is over. */
  readonly now: number;
  /** Files that are kept since before `until` are so many milliseconds older than the clock says; null: they are not. */
  readonly gap: { readonly until: number; readonly milliseconds: number } | null;
}

/** A user's files, and the bytes of all of them. */
export interface FileTotal {
  readonly user: string;
  readonly files: number;
  readonly bytes: number;
}

/**
 * Promises of every implementation, beside those of the whole store (test/kits/files.ts):
 *  1. A file comes back as it was, as far as UTF-8 can encode its name. There is one at most with an identity.
 *  2. A file that is held is not removed and not due. A hold is there until it is released, after a restart too.
 *  3. A list goes on where it ended, whatever was added or removed meanwhile.
 */
export interface FileStore {
  find(id: string): Promise<StoredFile | null>;
  same(identity: FileIdentity): Promise<StoredFile | null>;
  list(filter: FileFilter): Promise<StoredFile[]>;
  /** Files that have been kept long enough and are not held; the most overdue of each kind first. */
  due(limits: FileLimits, limit: number): Promise<StoredFile[]>;
  remove(id: string): Promise<"removed" | "held" | "absent">;
  totals(): Promise<FileTotal[]>;
  /** The ids after `after` in their order, at most `limit`. */
  ids(after: string, limit: number): Promise<string[]>;
}
