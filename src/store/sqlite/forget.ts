/* Removes what is stored of one user, step by step. Each step is a transaction, and what is gone is found no more: so it goes on wherever it was cut off. */
import { USAGE, USAGE_KEY, USAGE_SUMS } from "../thread/usage-rows.ts";
import type { Counts } from "../thread/counts.ts";
import { FORGOTTEN_USER, type ForgetOptions, type ForgetStep } from "../forget.ts";
import { IN_FINAL, removeBatch, removeTasks } from "./removal.ts";
import type { Statements } from "./statements.ts";

/** Rows that one step removes at most. */
const STEP = 500;
/** Hours of usage that one step looks through. */
const HOURS = 24 * 31;

const TASKS = "SELECT seq FROM tasks INDEXED BY tasks_by_user WHERE user = :user";
const BATCH_FILES = "SELECT id, facts FROM batch_files INDEXED BY batch_files_by_user WHERE user = :user";
const KEYS = `DELETE FROM idempotency_keys WHERE number IN
  (SELECT number FROM idempotency_keys WHERE user = :user LIMIT ${STEP})`;
const IN_HOURS = "user = :user AND hour >= :from AND hour < :to";
const NAMELESS = USAGE.map((name) => (name === "user" ? ":nobody" : name === "key_name" ? "''" : name));
/** Sums stay what they were. */
const RENAME = `INSERT INTO usage_hours (${USAGE.join()})
  SELECT ${NAMELESS.join()} FROM usage_hours WHERE ${IN_HOURS}
  ON CONFLICT (${USAGE_KEY.join()}) DO UPDATE SET
    ${USAGE_SUMS.map((name) => `${name} = coalesce(${name} + excluded.${name}, ${name}, excluded.${name})`).join()}`;

const NOTHING = { tasks: 0, batches: 0, answers: 0, usageRows: 0 };

export function forgetStep(sql: Statements, counts: Counts, { user, from, isAlone }: ForgetOptions): ForgetStep {
  const seqs = sql.numbers(`${TASKS} ${isAlone ? "" : `AND ${IN_FINAL}`} LIMIT ${STEP}`, { user });
  if (seqs.length > 0) return { ...NOTHING, tasks: removeTasks(sql, counts, seqs), next: from };
  const batch = dueBatch(sql, user, isAlone);
  if (batch !== undefined) {
    sql.transaction(() => {
      if (batch.file !== null)
        sql.run("DELETE FROM file_holds WHERE file_id = :file AND holder = :id", { file: batch.file, id: batch.id });
      removeBatch(sql, batch.id);
    });
    return { ...NOTHING, batches: 1, next: from };
  }
  const answers = sql.run(KEYS, { user });
  if (answers > 0) return { ...NOTHING, answers, next: from };
  for (const table of ["webhook_secrets", "webhook_endpoints"])
    sql.run(`DELETE FROM ${table} WHERE user = :user`, { user });
  return renameHours(sql, user, from);
}

/** A batch without tasks; of one that goes on beside this its own server sees to it first. */
function dueBatch(sql: Statements, user: string, isAlone: boolean): { id: string; file: string | null } | undefined {
  const ended = isAlone ? "" : "AND ended_at IS NOT NULL";
  const [file] = sql.records<{ id: string; facts: string }>(`${BATCH_FILES} ${ended} LIMIT 1`, { user });
  if (file !== undefined) return { id: file.id, file: (JSON.parse(file.facts) as { inputFile: string }).inputFile };
  if (!isAlone) return undefined;
  const unfinished =
    "SELECT id FROM batches INDEXED BY batches_unfinished WHERE finished_at IS NULL AND user = :user LIMIT 1";
  const [batch] = sql.records<{ id: string }>(unfinished, { user });
  return batch && { id: batch.id, file: null };
}

function renameHours(sql: Statements, user: string, from: number): ForgetStep {
  const [first] = sql.numbers("SELECT hour FROM usage_hours WHERE hour >= :from ORDER BY hour LIMIT 1", { from });
  if (first === undefined) return { ...NOTHING, next: null };
  const values = { user, from: first, to: first + HOURS, nobody: FORGOTTEN_USER };
  const usageRows = sql.transaction(() => {
    sql.run(RENAME, values);
    return sql.run(`DELETE FROM usage_hours WHERE ${IN_HOURS}`, values);
  });
  return { ...NOTHING, usageRows, next: values.to };
}
