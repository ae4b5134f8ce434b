/* Removes the texts of tasks whose texts are kept until they are read. All else of such a task stays. */
import type { Row } from "../thread/columns.ts";
import { shortNote, TEXT_COLUMNS, withoutResult, withoutWords, type Worded } from "../thread/gone-text-rows.ts";
import { IN_TRIED } from "../thread/records.ts";
import { arrayOf } from "./arrays.ts";
import { IN_FINAL } from "./columns.ts";
import type { Session } from "./session.ts";

const FOUND = `
  SELECT seq, id, attempts, sampling, error_code, error_sentence FROM tasks
  WHERE seq = ANY(:seqs::bigint[]) AND texts = 'until_read' AND ${IN_FINAL}`;
const EMPTY = `
  UPDATE tasks SET texts = 'removed', request = NULL, prefix = NULL, attempts = :attempts, sampling = :sampling, error_sentence = :error,
    ${TEXT_COLUMNS.map((name) => `${name} = NULL`).join()}
  WHERE seq = :seq`;
const DELIVERED = `
  SELECT seq FROM deliveries JOIN tasks ON tasks.id = deliveries.subject
  WHERE deliveries.id = ANY(:ids::text[]) AND deliveries.event <> 'task.running' AND texts = 'until_read'`;

/** @returns whether any were removed */
export async function removeTexts(session: Session, seqs: readonly number[]): Promise<boolean> {
  const rows = await session.rows(FOUND, { seqs: arrayOf(seqs) });
  for (const [seq, id, attempts, sampling, error_code, error_sentence] of rows) {
    const worded = { attempts, sampling, error_code, error_sentence } as Worded;
    await session.change(EMPTY, { seq: seq as number, ...withoutWords(worded) });
    await shortenNote(session, seq as number);
    await shortenDeliveries(session, id as string);
  }
  if (rows.length > 0)
    await session.change("DELETE FROM requests WHERE seq = ANY(:gone::bigint[])", {
      gone: arrayOf(rows.map(([seq]) => seq!)),
    });
  return rows.length > 0;
}

/** The ends of tasks are with their receivers, who have read them so. @param rows of deliveries that have arrived */
export async function removeDelivered(session: Session, rows: readonly Row[]): Promise<boolean> {
  if (rows.length === 0) return false;
  const ids = rows.map((row) => row[IN_TRIED.id]!);
  const seqs = await session.numbers(DELIVERED, { ids: arrayOf(ids) });
  return seqs.length > 0 && removeTexts(session, seqs);
}

async function shortenNote(session: Session, seq: number): Promise<void> {
  const [[stored] = []] = await session.rows("SELECT note FROM notes WHERE seq = :seq", { seq });
  if (stored === undefined) return;
  const note = shortNote(stored as string);
  if (note === null) await session.change("DELETE FROM notes WHERE seq = :seq", { seq });
  else await session.change("UPDATE notes SET note = :note WHERE seq = :seq", { seq, note });
}

async function shortenDeliveries(session: Session, subject: string): Promise<void> {
  const rows = await session.rows("SELECT number, body FROM deliveries WHERE subject = :subject", { subject });
  const changed = "UPDATE deliveries SET body = :body WHERE number = :number";
  for (const [number, body] of rows)
    await session.change(changed, { number: number as number, body: withoutResult(body as string) });
}
