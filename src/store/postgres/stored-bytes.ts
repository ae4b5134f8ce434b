/*
 * Bytes of the texts of each user's tasks, in the table `stored_bytes`: those of new tasks and of ends are summed here, one statement for each
 * transaction. Triggers do the same for what removes tasks or texts; for each new task they took PostgreSQL longer than its row.
 */
import type { Row } from "../thread/columns.ts";
import { ByteSums, isAgain } from "../thread/byte-sums.ts";
import { IN_CHANGED, type NewRow } from "../thread/rows.ts";
import { arrayOf } from "./arrays.ts";
import { changeBy, formsOf } from "./forms.ts";
import type { Change } from "./statements.ts";
import { storedText } from "./texts.ts";

const COLUMNS = ["user", "tasks", "bytes"];
/** Two names may become the same in UTF-8. */
const ADD = formsOf(
  (rows) => `
  INSERT INTO stored_bytes ("user", tasks, bytes)
  SELECT "user", sum(tasks)::bigint, sum(bytes)::bigint FROM ${rows(COLUMNS, "change")} GROUP BY "user"
  ON CONFLICT ("user") DO UPDATE SET tasks = stored_bytes.tasks + excluded.tasks, bytes = stored_bytes.bytes + excluded.bytes`,
);
const RESULT =
  "coalesce(octet_length(result_text), 0) + coalesce(octet_length(logprobs), 0) + coalesce(octet_length(embeddings), 0)";
const TAKE_RESULTS = `
  UPDATE stored_bytes SET bytes = stored_bytes.bytes - had.bytes
  FROM (SELECT "user", sum(${RESULT}) AS bytes FROM tasks WHERE seq = ANY(:seqs::bigint[]) GROUP BY "user") AS had
  WHERE stored_bytes."user" = had."user"`;
/** Counts all of it anew. It reads every task. */
export const COUNT_STORED_BYTES = `
  DELETE FROM stored_bytes;
  INSERT INTO stored_bytes ("user", tasks, bytes)
  SELECT "user", count(*), sum(CASE WHEN coalesce(texts, '') IN ('never', 'removed') THEN 0 ELSE size END + ${RESULT})
  FROM tasks GROUP BY "user"`;

/** They come before the changes that write these rows: a result that is written again is looked for as it was. */
export function storedBytesOf(inserts: readonly NewRow[], updates: readonly Row[]): Change[] {
  const changes: Change[] = [];
  const sums = new ByteSums((text) => Buffer.byteLength(storedText(text)));
  for (const { row } of inserts) sums.inserted(row);
  for (const row of updates) sums.changed(row, 0);
  const again = updates.filter((row) => isAgain(row)).map((row) => row[IN_CHANGED.seq]!);
  if (again.length > 0) changes.push({ sql: TAKE_RESULTS, values: [arrayOf(again)] });
  const rows = Array.from(sums.byUser, ([user, { tasks, bytes }]): Row => [user, tasks, bytes]);
  if (rows.length > 0) changes.push(changeBy(ADD, rows, COLUMNS.length));
  return changes;
}
