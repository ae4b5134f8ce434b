/* The work of the storage thread for each request, by port. Everything here blocks. */
import type { Row } from "../thread/columns.ts";
import type { TaskDatabase } from "./database.ts";
import type { BytesKind, Exchange, Kind, SharedKind } from "../thread/messages.ts";

/** Sends rows to the caller, ahead of the value. @returns how many there were until these characters were reached */
export type SendRows = (rows: Iterable<Row>, maxCharacters?: number) => number;

type Handlers<Of extends Kind> = {
  readonly [K in Of]: (
    database: TaskDatabase,
    request: Exchange[K]["request"],
    sendRows: SendRows,
  ) => Exchange[K]["value"];
};

/** Requests that need only the database. The thread handles the others: its life, copies, and the work after a sweep. */
export type ServedKind = Exclude<
  Kind,
  BytesKind | SharedKind | "open" | "sweep" | "forget" | "copy" | "stopCopy" | "close"
>;

const TASKS: Handlers<
  | "request"
  | "notes"
  | "get"
  | "list"
  | "scan"
  | "batch"
  | "ends"
  | "endsIn"
  | "history"
  | "remove"
  | "removeTexts"
  | "storedBytes"
  | "countEnded"
> = {
  request: (database, { seq }) => database.request(seq),
  notes: (database, { seqs }, sendRows) => {
    sendRows(database.notes(seqs));
    return null;
  },
  get: (database, { id }, sendRows) => {
    const row = database.get(id);
    if (row !== undefined) sendRows([row]);
    return null;
  },
  list: (database, { filter, reading }, sendRows) => {
    const { rows, count, total } = database.list(filter);
    return { total, more: sendRows(rows, reading.maxCharacters) < count };
  },
  scan: (database, { filter, below, maxCharacters }, sendRows) => {
    const { rows, count, window } = database.scan(filter, below);
    return { ...window, more: sendRows(rows, maxCharacters) < count };
  },
  batch: (database, { id }) => database.batch(id),
  ends: (database, { batchId, offset, limit, maxCharacters }, sendRows) => {
    sendRows(database.ends(batchId, offset, limit), maxCharacters);
    return null;
  },
  endsIn: (database, { from, to, limit, maxCharacters }, sendRows) => {
    sendRows(database.endsIn(from, to, limit), maxCharacters);
    return null;
  },
  history: (database, { after, limit }, sendRows) => {
    sendRows(database.history(after, limit));
    return null;
  },
  remove: (database, { id }) => database.remove(id),
  removeTexts: (database, { seqs }) => database.removeTexts(seqs),
  storedBytes: (database) => database.storedBytes(),
  countEnded: (database, { limits }) => database.countEnded(limits),
};

const OUTBOX: Handlers<"pending" | "countPending" | "deliveries" | "secret" | "endpoints"> = {
  pending: (database, { limit }, sendRows) => {
    sendRows(database.pendingDeliveries(limit));
    return null;
  },
  countPending: (database, { most, user }) => database.countPending(most, user),
  deliveries: (database, { subject }, sendRows) => {
    sendRows(database.deliveriesOf(subject));
    return null;
  },
  secret: (database, { user }) => database.secret(user),
  endpoints: (database) => database.endpoints(),
};

const IDEMPOTENCY: Handlers<"idempotency"> = {
  idempotency: (database, { user, key }) => database.idempotency(user, key),
};

const USAGE: Handlers<"usage"> = {
  usage: (database, { filter, atOnce }, sendRows) => {
    const { rows, next } = database.usage(filter, atOnce);
    sendRows(rows);
    return next;
  },
};

const BATCH_FILES: Handlers<
  "batchFile" | "batchFileOfOutput" | "batchFiles" | "outputs" | "unfinishedBatchFiles" | "refusedLines"
> = {
  batchFile: (database, { id }, sendRows) => {
    sendRows(database.batchFile(id));
    return null;
  },
  batchFileOfOutput: (database, { file }, sendRows) => {
    sendRows(database.batchFileOfOutput(file));
    return null;
  },
  batchFiles: (database, { filter }, sendRows) => {
    sendRows(database.batchFiles(filter));
    return null;
  },
  outputs: (database, { filter }, sendRows) => {
    sendRows(database.outputs(filter));
    return null;
  },
  unfinishedBatchFiles: (database, _request, sendRows) => {
    sendRows(database.unfinishedBatchFiles());
    return null;
  },
  refusedLines: (database, { from, to, limit }, sendRows) => {
    sendRows(database.refusedLines(from, to, limit));
    return null;
  },
};

const FILES: Handlers<"file" | "sameFile" | "files" | "dueFiles" | "removeFile" | "fileTotals" | "fileIds"> = {
  file: (database, { id }, sendRows) => {
    sendRows(database.file(id));
    return null;
  },
  sameFile: (database, { identity }, sendRows) => {
    sendRows(database.sameFile(identity));
    return null;
  },
  files: (database, { filter }, sendRows) => {
    sendRows(database.files(filter));
    return null;
  },
  dueFiles: (database, { limits, limit }, sendRows) => {
    sendRows(database.dueFiles(limits, limit));
    return null;
  },
  removeFile: (database, { id }) => database.removeFile(id),
  fileTotals: (database) => database.fileTotals(),
  fileIds: (database, { after, limit }, sendRows) => {
    sendRows(database.fileIds(after, limit));
    return null;
  },
};

const AUDIT: Handlers<"audit"> = {
  audit: (database, { filter, atOnce }, sendRows) => {
    const { rows, below } = database.audit(filter, atOnce);
    sendRows(rows);
    return below;
  },
};

const HANDLERS: Handlers<ServedKind> = {
  write: (database, { inserts, updates, usage, records }) => database.write({ inserts, updates, usage, records }),
  ...TASKS,
  ...OUTBOX,
  ...IDEMPOTENCY,
  ...USAGE,
  ...BATCH_FILES,
  ...FILES,
  ...AUDIT,
};

export function serveStored<K extends ServedKind>(
  database: TaskDatabase,
  kind: K,
  request: Exchange[K]["request"],
  sendRows: SendRows,
): Exchange[K]["value"] {
  return HANDLERS[kind](database, request, sendRows);
}
