/** The lines of a batch's results, in the order of its file, made of what the store has when they are read. */
import { hexOf } from "../common/uuid.ts";
import type { BatchFile, BatchFileStore, RefusedLine } from "../store/batch-files.ts";
import type { TaskStore } from "../store/tasks.ts";
import type { Batch } from "../task.ts";
import type { ListedSnapshot, TaskApi } from "../tasks/task-api.ts";
import type { LineAnswer, LineEndpoints } from "./endpoints.ts";
import { type LineNote, readLineNote } from "./line-note.ts";

/** Tasks, and lines that are none, that are read at once. */
const PAGE = 500;
/** Characters of the tasks in one page, which bounds what a slow reader costs; one task may be longer. */
const PAGE_CHARACTERS = 256 * 1024;

export interface ResultsParts {
  readonly store: Pick<TaskStore, "endsIn">;
  readonly batchFiles: Pick<BatchFileStore, "refusedIn">;
  readonly tasks: Pick<TaskApi, "notes" | "requestOf">;
  readonly endpoints: LineEndpoints;
  /** Hears of each task that has a line. */
  readonly told: (task: ListedSnapshot) => void;
}

/** `output`: what came of the lines; `errors`: those that came to nothing. */
export type ResultKind = "output" | "errors";

interface Page {
  readonly tasks: readonly ListedSnapshot[];
  readonly refused: readonly RefusedLine[];
  /** The last number that it covers. */
  readonly to: number;
}

/** The lines that are there now, with their ends; several in each text. */
export async function* resultLines(
  parts: ResultsParts,
  file: BatchFile,
  batch: Batch,
  kind: ResultKind,
): AsyncGenerator<string> {
  const last = batch.firstSeq + batch.size - 1;
  for (let from = batch.firstSeq; from <= last;) {
    const { tasks, refused, to } = await readPage(parts, from, last, kind);
    const wanted = tasks.filter(({ status }) => (status === "completed") === (kind === "output"));
    const notes = await parts.tasks.notes(wanted.map(({ seq }) => seq));
    const lines = new Map(refused.map((line) => [line.seq, refusedResult(parts.endpoints, line, batch)]));
    for (const task of wanted) {
      parts.told(task);
      lines.set(task.seq, await taskResult(parts, file, task, readLineNote(notes.get(task.seq))));
    }
    const inOrder = [...lines].toSorted(([a], [b]) => a - b);
    if (inOrder.length > 0) yield inOrder.map(([, line]) => `${parts.endpoints.asLine(line)}\n`).join("");
    from = to + 1;
  }
}

/** No more of one kind than of the other is read: the lines come in their order. */
async function readPage(
  { store, batchFiles }: ResultsParts,
  from: number,
  last: number,
  kind: ResultKind,
): Promise<Page> {
  const tasks = await store.endsIn(from, last, PAGE, PAGE_CHARACTERS);
  const toTask = tasks.at(-1)?.seq ?? last;
  if (kind === "output") return { tasks, refused: [], to: toTask };
  const refused = await batchFiles.refusedIn(from, toTask, PAGE);
  const to = refused.length === PAGE ? refused.at(-1)!.seq : toTask;
  return { tasks: tasks.filter(({ seq }) => seq <= to), refused, to };
}

interface ResultLine {
  readonly id: string;
  readonly custom_id: string | null;
  readonly response: { readonly status_code: number; readonly request_id: string; readonly body: object } | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

async function taskResult(
  { tasks, endpoints }: ResultsParts,
  file: BatchFile,
  task: ListedSnapshot,
  note: LineNote | null,
): Promise<ResultLine> {
  const id = hexOf(task.id);
  const customId = note?.custom_id ?? null;
  const why = endedBy(task, file);
  if (why !== null) return { ...named(id, customId), response: null, error: why };
  const endpoint = endpoints.byPath.get(note?.endpoint ?? file.endpoint)!;
  const request = () => tasks.requestOf({ seq: task.seq, request: null });
  return answered(id, customId, await endpoint.answerOf({ task, kept: note?.kept, request }));
}

/** The error of a task that was ended by something else than its request; null: it was not. */
function endedBy({ status, error, finishedClock }: ListedSnapshot, { deadline }: BatchFile): ResultLine["error"] {
  if (status === "canceled") return { code: "batch_cancelled", message: "This request was canceled before its end." };
  const isLate = error?.code === "timeout" && (finishedClock ?? 0) >= deadline;
  if (!isLate) return null;
  return { code: "batch_expired", message: "The completion window of the batch was over before this request's end." };
}

function refusedResult(endpoints: LineEndpoints, { seq, customId, failure }: RefusedLine, batch: Batch): ResultLine {
  const id = `${hexOf(batch.id)}_${seq - batch.firstSeq}`;
  const { code, sentence } = failure;
  if (code !== "batch_cancelled" && code !== "batch_expired") return answered(id, customId, endpoints.refused(failure));
  return { ...named(id, customId), response: null, error: { code, message: sentence } };
}

function answered(id: string, customId: string | null, { status, body }: LineAnswer): ResultLine {
  const response = { status_code: status, request_id: `req_${id}`, body };
  return { ...named(id, customId), response, error: null };
}

function named(id: string, customId: string | null): Pick<ResultLine, "id" | "custom_id"> {
  return { id: `batch_req_${id}`, custom_id: customId };
}
