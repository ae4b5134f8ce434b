/* The statements of files. Everything here blocks. */
import type { FileFilter, FileIdentity, FileLimits, FileTotal } from "../files.ts";
import type { Row } from "../thread/columns.ts";
import { FILE } from "../thread/file-rows.ts";
import type { Statements } from "./statements.ts";

const FILES = `SELECT ${FILE.join()} FROM files`;

/** The columns of a stored file that change. */
export const RENEWED = "kept_from = excluded.kept_from, lifetime = excluded.lifetime, team = excluded.team";
/** Nothing is changed where there is no such file. */
export const HOLD = "INSERT OR REPLACE INTO file_holds (file_id, holder) SELECT id, ?2 FROM files WHERE id = ?1";
export const RELEASE = "DELETE FROM file_holds WHERE file_id = ?1 AND holder = ?2";

const IS_FREE = "NOT EXISTS (SELECT 1 FROM file_holds WHERE file_id = files.id)";
const REMOVE = `DELETE FROM files WHERE id = :id AND ${IS_FREE}`;
const OLD = `
  ${FILES} INDEXED BY files_by_age WHERE lifetime IS NULL AND kept_from < :keptBefore AND ${IS_FREE}
  ORDER BY kept_from LIMIT :limit`;
const EXPIRED = `
  ${FILES} INDEXED BY files_by_expiry WHERE lifetime IS NOT NULL AND kept_from + lifetime < :latest
    AND (kept_from + lifetime < :now OR kept_from < :until) AND ${IS_FREE}
  ORDER BY kept_from + lifetime LIMIT :limit`;

export function findFile(sql: Statements, id: string): Row[] {
  return sql.rows(`${FILES} WHERE id = :id`, { id });
}

export function sameFile(sql: Statements, { user, sha256, purpose, filename }: FileIdentity): Row[] {
  const found = `${FILES} WHERE user = :user AND sha256 = :sha256 AND purpose = :purpose AND filename = :filename`;
  return sql.rows(found, { user, sha256, purpose, filename });
}

export function listFiles(sql: Statements, { user, team, purpose, order, after, limit }: FileFilter): Row[] {
  const way = order === "asc" ? ">" : "<";
  const wanted = [
    ...(user === undefined ? [] : ["user = :user"]),
    ...(team === undefined ? [] : ["team = :team"]),
    ...(purpose === undefined ? [] : ["purpose = :purpose"]),
    ...(after === undefined ? [] : [`(created_at, id) ${way} (:createdAt, :after)`]),
  ];
  const where = wanted.length === 0 ? "" : `WHERE ${wanted.join(" AND ")}`;
  const index = user !== undefined ? "files_by_user" : team !== undefined ? "files_by_team" : "files_by_time";
  const list = `${FILES} INDEXED BY ${index} ${where} ORDER BY created_at ${order}, id ${order} LIMIT :limit`;
  return sql.rows(list, {
    limit,
    user: user ?? null,
    team: team ?? null,
    purpose: purpose ?? null,
    createdAt: after?.createdAt ?? null,
    after: after?.id ?? null,
  });
}

export function dueFiles(sql: Statements, { keptBefore, now, gap }: FileLimits, limit: number): Row[] {
  const old = sql.rows(OLD, { keptBefore, limit });
  const { until, milliseconds } = gap ?? { until: now, milliseconds: 0 };
  const latest = now + milliseconds;
  return [...old, ...sql.rows(EXPIRED, { latest, now, until, limit: limit - old.length })];
}

export function removeFile(sql: Statements, id: string): "removed" | "held" | "absent" {
  if (sql.run(REMOVE, { id }) > 0) return "removed";
  return sql.numbers("SELECT 1 FROM files WHERE id = :id", { id }).length > 0 ? "held" : "absent";
}

export function fileTotals(sql: Statements): FileTotal[] {
  return sql.records<FileTotal>(
    "SELECT user, count(*) AS files, sum(bytes) AS bytes FROM files INDEXED BY files_by_user GROUP BY user",
  );
}

export function fileIds(sql: Statements, after: string, limit: number): Row[] {
  return sql.rows("SELECT id FROM files WHERE id > :after ORDER BY id LIMIT :limit", { after, limit });
}
