/* Where files come from: clients have uploaded them, or they are made of something else when they are read. */
import type { Readable } from "node:stream";
import type { FileFilter } from "../store/files.ts";

/** A file as the API shows it. Times are Unix milliseconds. */
export interface FileInfo {
  /** A UUID. */
  readonly id: string;
  readonly user: string;
  /** null: none. */
  readonly team: string | null;
  readonly purpose: string;
  readonly filename: string;
  readonly bytes: number;
  readonly createdAt: number;
  /** null: it goes with something else. */
  readonly expiresAt: number | null;
}

/** The content of a file. */
export interface FileContent {
  readonly stream: Readable;
  /** Bytes of it; null: nobody knows before its end. */
  readonly bytes: number | null;
  /** Called when all of it was delivered; absent: nothing comes of that. @param reader the name of the user who has read it */
  readonly delivered?: (reader: string) => void;
}

export interface FileSource {
  find(id: string): Promise<FileInfo | null>;
  /** In the order of their times and ids, as `FileStore.list`. */
  list(filter: FileFilter): Promise<readonly FileInfo[]>;
  /**
   * @param from the first byte that is wanted; by default all are
   * @throws {AltLasError} `not_found`: it is not there any more
   */
  open(file: FileInfo, from?: number): Promise<FileContent>;
  /** @throws {AltLasError} `not_found`; `conflict`: something needs it */
  remove(file: FileInfo): Promise<void>;
}

/** Several sources as one; no two of them have a file with the same id. */
export function allOf(sources: readonly FileSource[]): FileSource {
  const ownerOf = async ({ id }: FileInfo): Promise<FileSource> => {
    for (const source of sources.slice(1)) if ((await source.find(id)) !== null) return source;
    return sources[0]!;
  };
  return {
    async find(id) {
      for (const source of sources) {
        const found = await source.find(id);
        if (found !== null) return found;
      }
      return null;
    },
    async list(filter) {
      const lists = await Promise.all(sources.map((source) => source.list(filter)));
      const way = filter.order === "asc" ? 1 : -1;
      return lists
        .flat()
        .toSorted((a, b) => way * (a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1)))
        .slice(0, filter.limit);
    },
    open: async (file, from) => (await ownerOf(file)).open(file, from),
    remove: async (file) => (await ownerOf(file)).remove(file),
  };
}
