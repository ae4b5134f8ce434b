/* The storage thread: the only place that waits for the disk. */
import type { ForgetOptions, ForgetStep } from "../forget.ts";
import { parentPort } from "node:worker_threads";
import type { DatabaseSync } from "node:sqlite";
import { releaseStartMemory } from "../../common/start-memory.ts";
import { AltLasError, messageOf } from "../../errors.ts";
import { openOrReplace } from "./quarantine.ts";
import { copyDatabase } from "./copy.ts";
import { TaskDatabase } from "./database.ts";
import {
  CACHE_BYTES,
  type Failure,
  type Kind,
  type Opening,
  type Place,
  type Reply,
  type Request,
  type StoreLimits,
  type Value,
} from "../thread/messages.ts";
import { LOG_EMPTIED, CHECK_EVERY, type Missing, OpenFiles, type Shortest, UNTOUCHED } from "./presence.ts";
import type { Row } from "../thread/columns.ts";
import { charactersOfRow } from "../thread/rows.ts";
import { LONGEST_LOG, openDatabase, resultCode } from "./schema.ts";
import { serveStored } from "./serving.ts";
import { upgradeLine } from "./upgrade-words.ts";
import { Upkeep } from "./upkeep.ts";

/** Characters in one message of rows; more go in several. */
const MESSAGE_SIZE = 8 * 1024 * 1024;
const MESSAGE_ROWS = 1000;
/** Too big, constraint, mismatch, out of range: https://www.sqlite.org/rescode.html */
const ROW_CODES: ReadonlySet<number> = new Set([18, 19, 20, 25]);
/**
 * A change that took more milliseconds than this is answered only after a check of the files. In a shorter one, a deletion is as good as
 * one just after the answer; and right after an fsync such a check is expensive.
 */
const LONG = 5;
/** A move of the log into the database cuts off free pages; a log that is very long is cut when it begins anew. */
const CHANGED: Shortest = (file) => (file === "log" ? LONGEST_LOG : (upkeep?.bytes() ?? 0));
const CHANGES: ReadonlySet<Kind> = new Set(["write", "remove", "removeTexts", "sweep", "forget"]);

const port = parentPort;
if (port === null) throw new Error("thread.ts is started by SqliteStore");
let database: TaskDatabase | undefined;
let db: DatabaseSync | undefined;
let upkeep: Upkeep | undefined;
let files: OpenFiles | undefined;
let timer: NodeJS.Timeout | undefined;
/** A file that is missing; all later work is lost. */
let missing: Missing | null = null;

/** The copy under way; `done` resolves however it ends. */
let copying: { readonly done: Promise<void>; readonly stop: AbortController } | undefined;

port.on("message", (request: Request) => {
  if (request.kind !== "close" || copying === undefined) return answer(request);
  // Between two steps of a copy, SQLite uses the database in a thread of its own.
  copying.stop.abort(new Error("the store is closed"));
  void copying.done.then(() => answer(request));
});

function answer(request: Request): void {
  const { number } = request;
  const isChange = CHANGES.has(request.kind);
  let removed = false;
  try {
    const started = performance.now();
    const value = serve(request);
    // A commit into a file that was deleted must not be answered with success.
    if (isChange && performance.now() - started > LONG) throwIfLost(files?.missingAtAGlance(CHANGED));
    // The values of changes say whether they removed something.
    removed = value === true || request.kind === "forget";
    send({ kind: "done", number, value });
  } catch (error) {
    send({ kind: "failed", number, failure: failureOf(error, request.kind) });
  }
  if (isChange) afterChange(removed);
  if (database !== undefined) return;
  // With its port closed the thread ends, and so may the process.
  clearInterval(timer);
  port?.close();
}

/** Work that no request waits for. The check of the files comes first: the mark would complete a log that was cut short. */
function afterChange(removed: boolean): void {
  noteLoss(() => files?.noteEnds(CHANGED));
  if (missing === null && upkeep?.done(removed) === true) noteLoss(() => files?.noteEnds(CHANGED));
}

/** After the last step the log is emptied at once: it still has what was removed. */
function forget(from: TaskDatabase, options: ForgetOptions): ForgetStep {
  const step = from.forget(options);
  if (step.next !== null) return step;
  while (upkeep?.giveBack() === true);
  upkeep?.emptyLog();
  noteLoss(() => files?.missing(LOG_EMPTIED));
  return step;
}

/** Reports a missing file once. */
function noteLoss(look: () => Missing | null | undefined): void {
  try {
    throwIfLost(look());
  } catch {
    // It was reported.
  }
}

/** @param found by a check of the files @throws {AltLasError} when a file is missing or not whole, now or before */
function throwIfLost(found: Missing | null = null): void {
  const now = missing ?? found;
  if (now === null) return;
  if (missing === null) {
    missing = now;
    const { file, path, how } = missing;
    const message = `${path} was ${how} while the server ran: nothing can be stored until it is started again; ${rescue(missing)}`;
    send({ kind: "line", level: "error", fields: { file, path, how }, message });
    send({ kind: "lost", sentence: OpenFiles.sentence(missing), isTaken: false });
  }
  throw new AltLasError("store_unavailable", OpenFiles.sentence(missing));
}

/** A deleted log stays open, so its content can still be moved into the database. @returns the outcome, for the operator */
function rescue({ file, how }: Missing): string {
  // Of a log that was cut short, only the part before the cut can be read, and SQLite would take that for the whole.
  if (file !== "log" || how === "cut short") return "what is in no copy is lost";
  try {
    database?.moveLog();
    return "what was stored until now was saved into the database";
  } catch (error) {
    return `what was in the log is lost: it was ${how}, and ${messageOf(error)}`;
  }
}

function serve(request: Request): Value {
  const { number } = request;
  if (request.kind === "open") return open(request.place, number);
  if (database === undefined) throw new Error("the database is not open");
  if (request.kind !== "close") throwIfLost(files?.missingAtAGlance());
  switch (request.kind) {
    case "sweep":
      return database.sweep(request.limits) || (upkeep?.giveBack() ?? false);
    case "forget":
      return forget(database, request.options);
    case "copy":
      copying = beginCopy(request.path);
      return null;
    case "stopCopy":
      copying?.stop.abort(new Error("nobody waits for it any more"));
      return null;
    case "close":
      upkeep?.close();
      database.close();
      files?.close();
      database = undefined;
      return null;
    case "putPiece":
    case "sharedFile":
    case "sharedFiles":
    case "putSharedFile":
    case "nameBytes":
    case "dropBytes":
    case "bytesSize":
    case "piece":
    case "bytesNames":
      throw new Error("no database of this kind has that");
    default:
      return serveStored(database, request.kind, request, (rows, most) => sendRows(number, rows, most));
  }
}

function open(place: Place, number: number): Opening {
  if (!("path" in place)) throw new Error("that place is no file");
  const { path: file, limits } = place;
  const { opened, quarantined } = openOrReplace(file, () => openAndRead(file, limits, number));
  ({ db, database } = opened);
  upkeep = new Upkeep(opened.db, file);
  files = new OpenFiles(file);
  timer = setInterval(() => {
    noteLoss(() => files?.missing());
    if (missing !== null) return;
    const shortest = upkeep?.tick() === true ? LOG_EMPTIED : UNTOUCHED;
    noteLoss(() => files?.missing(shortest));
  }, CHECK_EVERY);
  const { lastSeq, batches, past } = opened;
  releaseStartMemory();
  return { lastSeq, batches, past, quarantined };
}

function beginCopy(target: string): typeof copying {
  if (db === undefined) throw new Error("the database is not open");
  const stop = new AbortController();
  const done = copyDatabase(db, target, stop.signal)
    .then(
      (schema) => send({ kind: "copied", schema, reason: "" }),
      (error: unknown) => send({ kind: "copied", schema: null, reason: messageOf(error) }),
    )
    .finally(() => (copying = undefined));
  return { done, stop };
}

/** Reads and sends the live tasks at once, because damage may be found only then. */
function openAndRead(file: string, { cacheBytes = CACHE_BYTES, maxPages }: StoreLimits, number: number) {
  const opening = openDatabase(file, (news) => send(upgradeLine(file, news)));
  try {
    opening.exec(`PRAGMA cache_size = -${Math.ceil(cacheBytes / 1024)}`);
    if (maxPages !== undefined) opening.exec(`PRAGMA max_page_count = ${maxPages}`);
    const opened = new TaskDatabase(opening);
    sendRows(number, opened.live());
    return {
      db: opening,
      database: opened,
      lastSeq: opened.lastSeq(),
      batches: opened.unfinishedBatches(),
      past: opened.past(),
    };
  } catch (error) {
    send({ kind: "void", number });
    opening.close();
    throw error;
  }
}

/** @returns how many there were until these characters were reached */
function sendRows(number: number, rows: Iterable<Row>, maxCharacters = Number.POSITIVE_INFINITY): number {
  let part: Row[] = [];
  let size = 0;
  let sent = 0;
  let left = maxCharacters;
  for (const row of rows) {
    part.push(row);
    sent++;
    const characters = charactersOfRow(row);
    size += characters;
    left -= characters;
    if (left <= 0) break;
    if (size < MESSAGE_SIZE && part.length < MESSAGE_ROWS) continue;
    send({ kind: "rows", number, rows: part });
    part = [];
    size = 0;
  }
  if (part.length > 0) send({ kind: "rows", number, rows: part });
  return sent;
}

function send(reply: Reply): void {
  port?.postMessage(reply);
}

function failureOf(error: unknown, kind: Kind): Failure {
  if (error instanceof AltLasError) return { code: error.code, sentence: error.message, ofRow: false };
  const code = resultCode(error);
  const done = CHANGES.has(kind) ? "written to" : "read from";
  return {
    code: "store_unavailable",
    // Clients see it, so it names no path; the log does.
    sentence: `tasks could not be ${done} disk: ${messageOf(error)}`,
    // Any other error is about a value that cannot be bound.
    ofRow: kind === "write" && (code === undefined || ROW_CODES.has(code)),
  };
}
