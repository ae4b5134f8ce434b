/** Looks at the start through what an earlier run has left of the files. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { wallTimeText } from "../common/clock.ts";
import { rename } from "../common/rename.ts";
import { messageOf } from "../errors.ts";
import type { FileStore } from "../store/files.ts";
import type { StoreLog } from "../store/store.ts";

/** Ends the names of bytes that are on their way. */
export const PARTIAL = ".part";

const OURS = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\.part)?$/;
/** Ids that are read at once. */
const PAGE = 1000;
/** Names in a line of the log. */
const MOST_NAMED = 10;

export interface TidyParts {
  readonly files: Pick<FileStore, "ids">;
  readonly folder: string;
  /** Whether the database was made by this start. */
  readonly isNew: boolean;
  readonly log: StoreLog;
}

/**
 * Removes bytes that no row knows, and warns of rows whose bytes are gone. Bytes that a new database finds belong to one that was moved away or
 * is damaged, and are put aside.
 */
export async function tidy({ files, folder, isNew, log }: TidyParts): Promise<void> {
  const found = await namesIn(folder);
  if (isNew && found.size > 0) return putAside(folder, log);
  const lost: string[] = [];
  for await (const id of idsOf(files)) if (!found.delete(id)) lost.push(id);
  for (const name of found) await removeLeft(join(folder, name), log);
  if (lost.length === 0) return;
  const about = { files: lost.length, folder, ids: lost.slice(0, MOST_NAMED) };
  log.warn(about, "the bytes of files are lost: they were moved or deleted while no server ran");
}

/** What cannot be removed keeps no upload from its place. */
async function removeLeft(path: string, log: StoreLog): Promise<void> {
  await rm(path, { force: true }).catch((error: unknown) =>
    log.warn({ path, reason: messageOf(error) }, "bytes that belong to no file could not be removed"),
  );
}

async function putAside(folder: string, log: StoreLog): Promise<void> {
  const to = `${folder}.of-another-database-${wallTimeText().replaceAll(":", "-")}`;
  await rename(folder, to);
  log.warn({ folder, movedTo: to }, "the task database is new: the files of the one before were put aside");
}

/** Names that are ours; whatever else is in the folder is left alone. */
async function namesIn(folder: string): Promise<Set<string>> {
  try {
    return new Set((await readdir(folder)).filter((name) => OURS.test(name)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Set();
    throw error;
  }
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
