/* Removes what is stored of one user, step by step. Removed rows are found no more: so it goes on wherever it was cut off. */
import { FORGOTTEN_USER, type ForgetOptions, type ForgetStep } from "../forget.ts";
import { USAGE, USAGE_KEY, USAGE_SUMS } from "../thread/usage-rows.ts";
import { IN_FINAL, listOf } from "./columns.ts";
import { SUMMED } from "./task-writes.ts";
import { removeBatches, removeTasks } from "./removal.ts";
import type { Session } from "./session.ts";
import type { WithCounts } from "./task-counts.ts";

/** Rows that one step removes at most. */
const STEP = 500;
/** Hours of usage that one step looks through. */
const HOURS = 24 * 31;

const TASKS = `SELECT seq FROM tasks WHERE "user" = :user`;
const BATCH_FILES = `SELECT id, facts FROM batch_files WHERE "user" = :user`;
const UNFINISHED = `SELECT id FROM batches WHERE finished_at IS NULL AND "user" = :user LIMIT 1`;
const KEYS = `
  DELETE FROM idempotency_keys WHERE ("user", key) IN
    (SELECT "user", key FROM idempotency_keys WHERE "user" = :user LIMIT ${STEP})`;
/** Sign-ins and stream tickets, as auth/kept.ts has them. */
const SIGN_INS = `
  DELETE FROM shared_files WHERE :user = CASE
    WHEN starts_with(name, 'session ') THEN body::json -> 'user' ->> 'name'
    WHEN starts_with(name, 'ticket ') THEN body::json -> 'caller' ->> 'name' END`;
const IN_HOURS = `"user" = :user AND hour >= :from AND hour < :to`;
const KEY_COLUMNS = USAGE_KEY.map((name) => (name === "user" ? ":nobody" : name === "key_name" ? "''" : `"${name}"`));
/** Sums stay what they were. Keys that lose their names become the same. */
const RENAME = `
  INSERT INTO usage_hours (${listOf(USAGE)})
  SELECT ${KEY_COLUMNS.join()}, ${SUMMED.join()}
  FROM usage_hours WHERE ${IN_HOURS} GROUP BY ${USAGE_KEY.filter((name) => name !== "user" && name !== "key_name")
    .map((name) => `"${name}"`)
    .join()}
  ON CONFLICT (${listOf(USAGE_KEY)}) DO UPDATE SET ${USAGE_SUMS.map(
    (name) =>
      `"${name}" = coalesce(usage_hours."${name}" + excluded."${name}", usage_hours."${name}", excluded."${name}")`,
  ).join()}`;

const NOTHING = { tasks: 0, batches: 0, answers: 0, usageRows: 0 };

/** Within a transaction of the caller's. */
export async function forgetStep(
  session: Session,
  { user, from, isAlone }: ForgetOptions,
): Promise<WithCounts<ForgetStep>> {
  const seqs = await session.numbers(`${TASKS} ${isAlone ? "" : `AND ${IN_FINAL}`} LIMIT ${STEP}`, { user });
  if (seqs.length > 0) {
    const changes = await removeTasks(session, seqs);
    return { value: { ...NOTHING, tasks: changes.length, next: from }, changes };
  }
  return { value: await forgetRecords(session, { user, from, isAlone }), changes: [] };
}

async function forgetRecords(session: Session, { user, from, isAlone }: ForgetOptions): Promise<ForgetStep> {
  const batch = await dueBatch(session, user, isAlone);
  if (batch !== null) {
    const { id, file } = batch;
    if (file !== null)
      await session.change("DELETE FROM file_holds WHERE file_id = :file AND holder = :id", { file, id });
    await removeBatches(session, [id]);
    return { ...NOTHING, batches: 1, next: from };
  }
  const answers = await session.change(KEYS, { user });
  if (answers > 0) return { ...NOTHING, answers, next: from };
  for (const table of ["webhook_secrets", "webhook_endpoints"])
    await session.change(`DELETE FROM ${table} WHERE "user" = :user`, { user });
  await session.change(SIGN_INS, { user });
  return renameHours(session, user, from);
}

/** A batch without tasks; of one that goes on beside this its own server sees to it first. */
async function dueBatch(
  session: Session,
  user: string,
  isAlone: boolean,
): Promise<{ readonly id: string; readonly file: string | null } | null> {
  const ended = isAlone ? "" : "AND ended_at IS NOT NULL";
  const [file] = await session.rows(`${BATCH_FILES} ${ended} LIMIT 1`, { user });
  if (file !== undefined) {
    const { inputFile } = JSON.parse(file[1] as string) as { readonly inputFile: string };
    return { id: file[0] as string, file: inputFile };
  }
  if (!isAlone) return null;
  const [batch] = await session.rows(UNFINISHED, { user });
  return batch === undefined ? null : { id: batch[0] as string, file: null };
}

async function renameHours(session: Session, user: string, from: number): Promise<ForgetStep> {
  const [first] = await session.numbers("SELECT hour FROM usage_hours WHERE hour >= :from ORDER BY hour LIMIT 1", {
    from,
  });
  if (first === undefined) return { ...NOTHING, next: null };
  const bounds = { user, from: first, to: first + HOURS };
  await session.change(RENAME, { ...bounds, nobody: FORGOTTEN_USER });
  const usageRows = await session.change(`DELETE FROM usage_hours WHERE ${IN_HOURS}`, bounds);
  return { ...NOTHING, usageRows, next: bounds.to };
}
