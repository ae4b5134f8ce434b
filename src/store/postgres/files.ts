/* The statements of files. */
import type { FileFilter, FileIdentity, FileLimits, FileTotal } from "../files.ts";
import type { Row } from "../thread/columns.ts";
import { FILE } from "../thread/file-rows.ts";
import { listOf } from "./columns.ts";
import type { Session } from "./session.ts";

const FILES = `SELECT ${listOf(FILE)} FROM files`;
const IS_FREE = "NOT EXISTS (SELECT 1 FROM file_holds WHERE file_id = files.id)";
const SAME = `
  ${FILES} WHERE "user" = :user AND sha256 = :sha256 AND purpose = :purpose
    AND hashtextextended(filename, 0) = hashtextextended(:filename, 0) AND filename = :filename`;
const OLD = `
  ${FILES} WHERE lifetime IS NULL AND kept_from < :keptBefore AND ${IS_FREE} ORDER BY kept_from LIMIT :limit`;
const EXPIRED = `
  ${FILES} WHERE lifetime IS NOT NULL AND kept_from + lifetime < :latest
    AND (kept_from + lifetime < :now OR kept_from < :until) AND ${IS_FREE}
  ORDER BY kept_from + lifetime LIMIT :limit`;

export function findFile(session: Session, id: string): Promise<Row[]> {
  return session.rows(`${FILES} WHERE id = :id`, { id });
}

export function sameFile(session: Session, { user, sha256, purpose, filename }: FileIdentity): Promise<Row[]> {
  return session.rows(SAME, { user, sha256, purpose, filename });
}

export function listFiles(session: Session, { user, team, purpose, order, after, limit }: FileFilter): Promise<Row[]> {
  const way = order === "asc" ? ">" : "<";
  const wanted = [
    ...(user === undefined ? [] : ['"user" = :user']),
    ...(team === undefined ? [] : ["team = :team"]),
    ...(purpose === undefined ? [] : ["purpose = :purpose"]),
    ...(after === undefined ? [] : [`(created_at, id) ${way} (:createdAt, :after)`]),
  ];
  const where = wanted.length === 0 ? "" : `WHERE ${wanted.join(" AND ")}`;
  const list = `${FILES} ${where} ORDER BY created_at ${order}, id ${order} LIMIT :limit`;
  return session.rows(list, { user, team, purpose, createdAt: after?.createdAt, after: after?.id, limit });
}

export async function dueFiles(session: Session, { keptBefore, now, gap }: FileLimits, limit: number): Promise<Row[]> {
  const old = await session.rows(OLD, { keptBefore, limit });
  const { until, milliseconds } = gap ?? { until: now, milliseconds: 0 };
  const latest = now + milliseconds;
  return [...old, ...(await session.rows(EXPIRED, { latest, now, until, limit: limit - old.length }))];
}

export async function removeFile(session: Session, id: string): Promise<"removed" | "held" | "absent"> {
  if ((await session.change(`DELETE FROM files WHERE id = :id AND ${IS_FREE}`, { id })) > 0) return "removed";
  return (await findFile(session, id)).length > 0 ? "held" : "absent";
}

export async function fileTotals(session: Session): Promise<FileTotal[]> {
  const rows = await session.rows('SELECT "user", count(*), sum(bytes)::bigint FROM files GROUP BY "user"');
  return rows.map(([user, files, bytes]) => ({
    user: user as string,
    files: files as number,
    bytes: bytes as number,
  }));
}

export function fileIds(session: Session, after: string, limit: number): Promise<Row[]> {
  return session.rows("SELECT id FROM files WHERE id > :after ORDER BY id LIMIT :limit", { after, limit });
}
