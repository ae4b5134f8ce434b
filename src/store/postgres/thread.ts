/* The thread of the database on a PostgreSQL server. Requests are served side by side; writes wait for each other. */
import { parentPort } from "node:worker_threads";
import type { Row } from "../thread/columns.ts";
import type { Kind, Reply, Request, Value } from "../thread/messages.ts";
import { charactersOfRow } from "../thread/rows.ts";
import { Database, postgresPlace } from "./database.ts";
import { failureOf } from "./failures.ts";
import { type Sending, serveStored } from "./serving.ts";

/** Characters in one message of rows; more go in several. */
const MESSAGE_SIZE = 8 * 1024 * 1024;
const MESSAGE_ROWS = 1000;
const WRITES: ReadonlySet<Kind> = new Set([
  ...(["write", "remove", "removeTexts", "removeFile", "sweep", "forget"] as const),
  ...(["putPiece", "nameBytes", "dropBytes", "putSharedFile"] as const),
]);

const port = parentPort;
if (port === null) throw new Error("thread.ts is started by PostgresStore");
let database: Database | undefined;
// A thread that is prepared for its time has it ready then; where it is missing, the opening says so.
void import("pg").catch(() => undefined);

port.on("message", (request: Request) => void answer(request));

async function answer(request: Request): Promise<void> {
  const { kind, number } = request;
  try {
    send({ kind: "done", number, value: await serve(request) });
  } catch (error) {
    send({ kind: "failed", number, failure: failureOf(error, WRITES.has(kind)) });
  }
  // With its port closed and no connection open the thread ends.
  if (database === undefined) port?.close();
}

async function serve(request: Request): Promise<Value> {
  const { kind, number } = request;
  if (kind === "open") {
    const rows = sendingOf(number);
    const opened = await Database.open(postgresPlace(request.place), send, (some) => rows.send(some));
    database = opened.database;
    return opened.opening;
  }
  if (kind === "close") {
    const open = database;
    database = undefined;
    await open?.close();
    return null;
  }
  if (database === undefined || kind === "copy" || kind === "stopCopy") throw new Error("the database is not open");
  let tries = 0;
  const sending = (): Sending => {
    if (tries++ > 0) send({ kind: "void", number });
    return sendingOf(number);
  };
  return serveStored(database, kind, request, sending);
}

function sendingOf(number: number): Sending {
  let left = Number.POSITIVE_INFINITY;
  let sent = 0;
  return {
    get sent() {
      return sent;
    },
    limit: (maxCharacters) => {
      left = maxCharacters;
    },
    send: (rows) => {
      const wanted: Row[] = [];
      for (const row of rows) {
        if (left <= 0 && sent > 0) break;
        wanted.push(row);
        sent++;
        left -= charactersOfRow(row);
      }
      for (const part of partsOf(wanted)) send({ kind: "rows", number, rows: part });
      return left > 0;
    },
  };
}

/** One message of all rows could be larger than a message can be. */
function* partsOf(rows: readonly Row[]): Generator<readonly Row[]> {
  let from = 0;
  let size = 0;
  for (const [index, row] of rows.entries()) {
    size += charactersOfRow(row);
    if (size < MESSAGE_SIZE && index + 1 - from < MESSAGE_ROWS) continue;
    yield rows.slice(from, index + 1);
    from = index + 1;
    size = 0;
  }
  if (from < rows.length) yield rows.slice(from);
}

function send(reply: Reply): void {
  port?.postMessage(reply);
}
