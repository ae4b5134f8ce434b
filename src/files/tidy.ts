/** Looks at the start through what an earlier run has left of the files. */
import { messageOf } from "../errors.ts";
import type { FileBytes } from "../store/file-bytes.ts";
import type { FileStore } from "../store/files.ts";
import type { StoreLog } from "../store/store.ts";

/** Ids that are read at once. */
const PAGE = 1000;
/** Names in a line of the log. */
const MOST_NAMED = 10;

export interface TidyParts {
  readonly files: Pick<FileStore, "ids">;
  readonly bytes: Pick<FileBytes, "names" | "remove" | "putAside" | "where">;
  /** Whether the database was made by this start. */
  readonly isNew: boolean;
  readonly log: StoreLog;
}

/**
 * Removes bytes that no row knows, and warns of rows whose bytes are gone. Bytes that a new database finds belong to one that was moved away or
 * is damaged, and are put aside.
 */
export async function tidy({ files, bytes, isNew, log }: TidyParts): Promise<void> {
  const found = await bytes.names();
  if (isNew && found.size > 0) return putAside(bytes, log);
  const lost: string[] = [];
  for await (const id of idsOf(files)) if (!found.delete(id)) lost.push(id);
  for (const name of found) await removeLeft(bytes, name, log);
  if (lost.length === 0) return;
  const about = { files: lost.length, where: bytes.where, ids: lost.slice(0, MOST_NAMED) };
  log.warn(about, "the bytes of files are lost: they were moved or deleted while no server ran");
}

/** Bytes that cannot be removed keep no upload from their place. */
async function removeLeft(bytes: Pick<FileBytes, "remove">, name: string, log: StoreLog): Promise<void> {
  await bytes
    .remove(name)
    .catch((error: unknown) =>
      log.warn({ name, reason: messageOf(error) }, "bytes that belong to no file could not be removed"),
    );
}

async function putAside(bytes: Pick<FileBytes, "putAside">, log: StoreLog): Promise<void> {
  const movedTo = await bytes.putAside();
  log.warn({ movedTo }, "the task database is new: the files of the one before were put aside");
}

async function* idsOf(files: Pick<FileStore, "ids">): AsyncGenerator<string> {
  let after = "";
  for (;;) {
    const page = await files.ids(after, PAGE);
    yield* page;
    const last = page.at(-1);
    if (last === undefined) return;
    after = last;
  }
}
