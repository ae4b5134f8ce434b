/* The work of the thread for each request, by port. */
import type { BytesKind, Exchange, Kind, SharedKind } from "../thread/messages.ts";
import {
  batchFileOfOutput,
  findBatchFile,
  listBatchFiles,
  listOutputs,
  refusedLines,
  unfinishedBatchFiles,
} from "./batch-files.ts";
import type { Database } from "./database.ts";
import { dueFiles, fileIds, fileTotals, findFile, listFiles, removeFile, sameFile } from "./files.ts";
import { scan } from "./listing.ts";
import { removeTexts } from "./gone-texts.ts";
import { countDue } from "./removal.ts";
import { isAboutBytes, serveBytes } from "./pieces.ts";
import { countPending, deliveriesOf, endpoints, findKey, findSecret, pendingDeliveries } from "./outbox.ts";
import { auditPart, type Part, usagePart } from "./records-read.ts";
import type { Session } from "./session.ts";
import { putSharedFile, sharedFile, sharedFiles } from "./shared-files.ts";
import {
  batch,
  ends,
  endsIn,
  findHistory,
  findNotes,
  findRequest,
  findTask,
  list,
  readListed,
  storedBytes,
} from "./tasks.ts";
import type { Row } from "../thread/columns.ts";

/** Rows on their way to the caller, ahead of the value. */
export interface Sending {
  /** @returns whether more are wanted */
  send(rows: readonly Row[]): boolean;
  /** No more than these characters, but one row at least. */
  limit(maxCharacters: number): void;
  /** How many were sent. */
  readonly sent: number;
}

/** Requests that need only an open database. */
export type ServedKind = Exclude<Kind, "open" | "copy" | "stopCopy" | "close">;

type Serve<K extends ServedKind> = (request: Exchange[K]["request"], sending: Sending) => Promise<Exchange[K]["value"]>;
type Handlers<Of extends ServedKind> = { readonly [K in Of]: Serve<K> };
type Read<K extends ServedKind> = (
  session: Session,
  request: Exchange[K]["request"],
  sending: Sending,
) => Promise<Exchange[K]["value"]>;

/** Reads that need nothing but a connection. */
const READS: {
  readonly [
    K in Exclude<
      ServedKind,
      BytesKind | SharedKind | "write" | "list" | "remove" | "removeTexts" | "removeFile" | "sweep" | "forget"
    >
  ]: Read<K>;
} = {
  request: (session, { seq }) => findRequest(session, seq),
  notes: rowsBy((session, { seqs }) => findNotes(session, seqs)),
  get: rowsBy((session, { id }) => findTask(session, id)),
  scan: async (session, { filter, below, maxCharacters }, sending) => {
    const { found, ...window } = await scan(session, filter, below);
    sending.limit(maxCharacters);
    await readListed(session, found, (rows) => sending.send(rows));
    return { ...window, more: sending.sent < found.length };
  },
  batch: (session, { id }) => batch(session, id),
  ends: async (session, request, sending) => {
    sending.limit(request.maxCharacters);
    await ends(session, request, (rows) => sending.send(rows));
    return null;
  },
  endsIn: async (session, request, sending) => {
    sending.limit(request.maxCharacters);
    await endsIn(session, request, (rows) => sending.send(rows));
    return null;
  },
  history: rowsBy((session, request) => findHistory(session, request)),
  countEnded: (session, { limits }) => countDue(session, limits),
  storedBytes: (session) => storedBytes(session),
  pending: rowsBy((session, { limit }) => pendingDeliveries(session, limit)),
  countPending: (session, { most, user }) => countPending(session, most, user),
  deliveries: rowsBy((session, { subject }) => deliveriesOf(session, subject)),
  secret: (session, { user }) => findSecret(session, user),
  endpoints: (session) => endpoints(session),
  idempotency: (session, { user, key }) => findKey(session, user, key),
  usage: (session, { filter, atOnce }, sending) => sentPart(usagePart(session, filter, atOnce), sending),
  audit: (session, { filter, atOnce }, sending) => sentPart(auditPart(session, filter, atOnce), sending),
  batchFile: rowsBy((session, { id }) => findBatchFile(session, id)),
  batchFileOfOutput: rowsBy((session, { file }) => batchFileOfOutput(session, file)),
  batchFiles: rowsBy((session, { filter }) => listBatchFiles(session, filter)),
  outputs: rowsBy((session, { filter }) => listOutputs(session, filter)),
  unfinishedBatchFiles: rowsBy((session) => unfinishedBatchFiles(session)),
  refusedLines: rowsBy((session, { from, to, limit }) => refusedLines(session, from, to, limit)),
  file: rowsBy((session, { id }) => findFile(session, id)),
  sameFile: rowsBy((session, { identity }) => sameFile(session, identity)),
  files: rowsBy((session, { filter }) => listFiles(session, filter)),
  dueFiles: rowsBy((session, { limits, limit }) => dueFiles(session, limits, limit)),
  fileTotals: (session) => fileTotals(session),
  fileIds: rowsBy((session, { after, limit }) => fileIds(session, after, limit)),
};

function rowsBy<T>(find: (session: Session, request: T) => Promise<Row[]>) {
  return async (session: Session, request: T, sending: Sending): Promise<null> => {
    sending.send(await find(session, request));
    return null;
  };
}

async function sentPart(part: Promise<Part>, sending: Sending): Promise<number | null> {
  const { rows, next } = await part;
  sending.send(rows);
  return next;
}

/** @param sending makes what takes the rows of one try; the rows of those before are void */
export async function serveStored(
  database: Database,
  kind: ServedKind,
  request: Exchange[ServedKind]["request"],
  sending: () => Sending,
): Promise<Exchange[ServedKind]["value"]> {
  if (isAboutBytes(kind)) {
    const { rows, value } = await serveBytes(database, kind, request as never);
    sending().send(rows);
    return value;
  }
  const writes: Handlers<SharedKind | "write" | "remove" | "removeTexts" | "removeFile" | "sweep" | "forget" | "list"> =
    {
      sharedFile: ({ name }) => database.read((session) => sharedFile(session, name)),
      sharedFiles: ({ prefix }) => database.read((session) => sharedFiles(session, prefix)),
      putSharedFile: ({ name, body }) => database.change((session) => putSharedFile(session, name, body)),
      write: (written) => database.write(written),
      removeTexts: ({ seqs }) => database.change((session) => removeTexts(session, seqs)),
      remove: ({ id }) => database.remove(id),
      removeFile: ({ id }) => database.change((session) => removeFile(session, id)),
      forget: ({ options }) => database.forget(options),
      sweep: ({ limits }) => database.sweep(limits),
      list: async ({ filter, reading }) => {
        const isOfCounts = reading.counted && filter.batchId === undefined;
        const counts = isOfCounts ? await database.counts.get() : null;
        return database.read(async (session) => {
          const rows = sending();
          const { found, total } = await list(session, counts, filter, reading);
          rows.limit(reading.maxCharacters);
          await readListed(session, found, (some) => rows.send(some));
          return { total, more: rows.sent < found.length };
        });
      },
    };
  if (kind in writes) return (writes[kind as keyof typeof writes] as Serve<ServedKind>)(request as never, sending());
  const read = READS[kind as keyof typeof READS] as Read<ServedKind>;
  return database.read((session) => read(session, request as never, sending()));
}
