/** The storage thread of the floor: one transaction for each message, on disk before it answers. */
import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";

/** Of a new task; of its end, if it is shorter. */
export type Row = readonly (string | number)[];

const NEW =
  "seq, id, user, strategy, whole, created, size, tokens, sampling, type, priority, key_name, request, status, attempts, gpu, started, placement, model, used";
const END = ["status", "finished", "text", "time", "reason", "prompt_tokens", "completion_tokens"];

const db = new DatabaseSync(workerData as string);
db.exec(`
  PRAGMA page_size = 8192;
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA cache_size = -16384;
  PRAGMA wal_autocheckpoint = 2048;
  CREATE TABLE tasks (${NEW.replace("seq", "seq INTEGER PRIMARY KEY")}, ${END.slice(1).join()});
  CREATE UNIQUE INDEX by_id ON tasks (id);
  CREATE INDEX by_user ON tasks (user, status, seq);
  CREATE INDEX by_status ON tasks (status, seq);
  CREATE INDEX by_end ON tasks (user, finished) WHERE finished IS NOT NULL`);
const names = NEW.split(", ");
const insert = db.prepare(`INSERT INTO tasks (${NEW}) VALUES (${names.map(() => "?").join()})`);
const update = db.prepare(`UPDATE tasks SET ${END.map((name) => `${name} = ?`).join()} WHERE seq = ?`);
const begin = db.prepare("BEGIN IMMEDIATE");
const commit = db.prepare("COMMIT");

parentPort!.on("message", (rows: readonly Row[]) => {
  begin.run();
  for (const row of rows) (row.length === names.length ? insert : update).run(...row);
  commit.run();
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort!.postMessage(null);
});
