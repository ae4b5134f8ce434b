/* One call of `save` that waits for its write, and the grouping of several. */
import { charactersOfRequest } from "../../request.ts";
import type { Task } from "../../task.ts";
import { recordKey } from "./records.ts";
import type { Row } from "./columns.ts";
import { changedRow, type NewRow, newRow } from "./rows.ts";
import type { StoredStatuses } from "./stored-statuses.ts";
import type { StoreRecord, When } from "../store.ts";

export interface Save {
  readonly tasks: readonly Task[];
  readonly records: readonly StoreRecord[];
  /** In their texts. */
  readonly characters: number;
  /** Whether somebody waits for it. */
  readonly when: When;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** The caller may set a batch's end while its record waits to be written. */
export function copyOf(record: StoreRecord): StoreRecord {
  return record.kind === "batch" ? { ...record, batch: { ...record.batch } } : record;
}

export function charactersOf(tasks: readonly Task[], records: readonly StoreRecord[]): number {
  let sum = 0;
  for (const task of tasks) sum += requestCharacters(task) + (task.result?.text.length ?? 0);
  for (const record of records) {
    if (record.kind === "event") sum += record.delivery.body.length;
    if (record.kind === "note") sum += record.note.length;
    if (record.kind === "idempotency") sum += record.record.answer.length;
  }
  return sum;
}

function requestCharacters({ request }: Task): number {
  return request === null ? 0 : charactersOfRequest(request);
}

/** Characters of new requests from which on the long ones cross to the thread as bytes, and from which on one is long. */
const MANY = 1024 * 1024;
const LONG = 1024;

/**
 * The rows of tasks in their present states.
 * @returns also the buffers to hand over instead of copying
 */
export function rowsOf(
  tasks: ReadonlySet<Task>,
  stored: Pick<StoredStatuses, "get">,
): { readonly inserts: readonly NewRow[]; readonly updates: readonly Row[]; readonly transfer: ArrayBuffer[] } {
  const inserts: NewRow[] = [];
  const updates: Row[] = [];
  const transfer: ArrayBuffer[] = [];
  let characters = 0;
  for (const task of tasks) {
    const was = stored.get(task);
    if (was !== undefined) updates.push(changedRow(task, was));
    else {
      const row = newRow(task);
      characters += row.request?.length ?? 0;
      // One after the other: the strings of a large batch together would take as much of the heap as its texts.
      inserts.push(characters < MANY ? row : handedOver(row, transfer));
    }
  }
  return { inserts, updates, transfer };
}

/** As a string, the request would be copied twice, and would take the heap of the thread. */
function handedOver({ row, request }: NewRow, transfer: ArrayBuffer[]): NewRow {
  if (typeof request !== "string" || request.length < LONG) return { row, request };
  const bytes = new TextEncoder().encode(request);
  transfer.push(bytes.buffer);
  return { row, request: bytes };
}

/** The saves in groups that have nothing in common, each in the order of the calls where that matters. */
export function independent(saves: readonly Save[]): Save[][] {
  const groups = new Map<Task | string, Save[]>();
  for (const save of saves) {
    const related = new Set(subjectsOf(save).map((subject) => groups.get(subject)));
    const group = [...related].flatMap((members) => members ?? []);
    group.push(save);
    for (const subject of group.flatMap(subjectsOf)) groups.set(subject, group);
  }
  return [...new Set(groups.values())];
}

function subjectsOf({ tasks, records }: Save): (Task | string)[] {
  return [...tasks, ...records.map(recordKey)];
}
