/* Brings a database of an earlier version to the present schema. */
import { closeSync, openSync, readdirSync, readFileSync, rmSync, statfsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { renameSync } from "../../common/rename.ts";
import { syncFile, syncFolder } from "../../common/sync.ts";
import { messageOf } from "../../errors.ts";
import { VERSION } from "../../common/version.ts";
import { clearMark } from "./log-mark.ts";
import { pragma } from "./pragma.ts";

/** "ALAS": says in the file's header that the database is one of ours. */
export const APPLICATION_ID = 0x414c4153;
const MIGRATIONS = join(import.meta.dirname, "migrations");
/** Migrations before this one change no existing row. The file is copied before it. */
const FIRST_TO_CHANGE_ROWS = 9;
/** The first line of a migration that runs in several transactions. */
const IN_STEPS = /^-- In steps, until this table is empty: (\w+)$/m;
/** Milliseconds between two reports of a long migration. */
const NEWS_EVERY = 2000;
/** Bytes that the log of an upgrade takes at most, however small the database is: two checkpoints, and the largest step. */
const UPGRADE_LOG = 64 * 1024 * 1024;

/** Progress while an older database is brought to the present schema: a large one may take a while. */
export type UpgradeNews =
  /** The file is copied as it was. */
  | { readonly news: "copying"; readonly to: string; readonly bytes: number }
  | { readonly news: "not copied"; readonly to: string; readonly reason: string }
  /** A migration begins. @property step its number; that of the last one is `last` */
  | { readonly news: "migration"; readonly step: number; readonly last: number; readonly file: string }
  /** How far a migration in steps is. */
  | { readonly news: "progress"; readonly done: number; readonly total: number };

export type Tell = (news: UpgradeNews) => void;

/** The number of the last migration that this version has. */
export function knownSchema(): number {
  return migrations().length;
}

/**
 * Applies the migrations that are missing. A server that is killed meanwhile goes on where it was: each migration, or each step of one,
 * is a transaction.
 */
export function upgrade(db: DatabaseSync, path: string, tell: Tell): void {
  const done = Number(pragma(db, "user_version"));
  const files = migrations();
  if (done === 0) return create(db, files);
  if (done < Math.min(FIRST_TO_CHANGE_ROWS - 1, files.length)) keepCopy(db, path, tell);
  for (const [index, file] of files.entries()) {
    if (index < done) continue;
    tell({ news: "migration", step: index + 1, last: files.length, file });
    const { sql, table } = read(file);
    if (table !== undefined) applyInSteps(db, sql, table, tell);
    db.exec("BEGIN IMMEDIATE");
    if (table === undefined) db.exec(sql);
    finish(db, index + 1);
  }
}

/** A new database waits for the disk once, and is empty still when its server is killed meanwhile. */
function create(db: DatabaseSync, files: readonly string[]): void {
  db.exec("BEGIN IMMEDIATE");
  for (const { sql, table } of files.map(read)) if (table === undefined) db.exec(sql);
  finish(db, files.length);
}

/** Ends a transaction after which the database has so many migrations. */
function finish(db: DatabaseSync, schema: number): void {
  db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${schema}; COMMIT`);
}

/** @returns as `table`, the one that a migration empties in steps */
function read(file: string): { sql: string; table: string | undefined } {
  const sql = readFileSync(join(MIGRATIONS, file), "utf8");
  return { sql, table: IN_STEPS.exec(sql)?.[1] };
}

/** Numbered from 1 without a gap; a database's `user_version` is the number of the last one it has. */
function migrations(): string[] {
  return readdirSync(MIGRATIONS)
    .filter((file) => file.endsWith(".sql"))
    .toSorted();
}

/** @param sql removes some rows of the table, however many there are */
function applyInSteps(db: DatabaseSync, sql: string, table: string, tell: Tell): void {
  const rows = db.prepare(`SELECT count(*) AS count FROM ${table}`);
  const any = db.prepare(`SELECT 1 FROM ${table} LIMIT 1`);
  const left = (): number => Number(rows.get()?.["count"]);
  const total = left();
  let toldAt = -Infinity;
  while (any.get() !== undefined) {
    const now = performance.now();
    if (now - toldAt >= NEWS_EVERY) {
      tell({ news: "progress", done: total - left(), total });
      toldAt = now;
    }
    db.exec("BEGIN IMMEDIATE");
    db.exec(sql);
    db.exec("COMMIT");
  }
  if (total > 0) tell({ news: "progress", done: total, total });
}

/**
 * Bytes that have to be free for a copy. The upgrade itself needs as much as the database again, and its log: with less, the copy would
 * take what the upgrade needs, which would then stop on a full disk.
 * @param bytes of the database with its log
 */
export function roomForCopy(bytes: number): number {
  return 2 * bytes + UPGRADE_LOG;
}

/** Copies the database as it is, for a version that cannot read the next one's. Without room for that the upgrade goes on all the same. */
function keepCopy(db: DatabaseSync, path: string, tell: Tell): void {
  const to = `${path}.before-${VERSION}`;
  const unfinished = `${to}.unfinished`;
  try {
    // Left by a server that was killed.
    rmSync(unfinished, { force: true });
    const bytes = statSync(path).size + (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0);
    const { bavail, bsize } = statfsSync(dirname(path));
    if (bavail * bsize < roomForCopy(bytes))
      return tell({ news: "not copied", to, reason: "the disk has no room for it" });
    tell({ news: "copying", to, bytes });
    closeSync(openSync(unfinished, "wx", 0o600));
    db.prepare("VACUUM INTO ?").run(unfinished);
    const copy = new DatabaseSync(unfinished);
    try {
      clearMark(copy);
    } finally {
      copy.close();
    }
    syncFile(unfinished);
    renameSync(unfinished, to);
    syncFolder(dirname(path));
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    tell({ news: "not copied", to, reason: messageOf(error) });
  }
}
