/* The rows of the records that are stored beside tasks. */
import type { Batch, BatchLines, Webhook, WebhookEvent } from "../../task.ts";
import type { RecordedTimes } from "../gap.ts";
import { type Columns, namesOf, placesOf, type Row, rowMaker } from "./columns.ts";
import { rowOfAudit } from "./audit-rows.ts";
import { rowOfBatchFile, rowOfRefusedLine } from "./batch-file-rows.ts";
import { rowOfFile } from "./file-rows.ts";
import { jsonOf, parsed } from "./rows.ts";
import type { IdempotencyRecord } from "../idempotency.ts";
import type { Delivery, DeliveryAttempt, WebhookEndpoint, WebhookSecret } from "../outbox.ts";
import type { StoreRecord } from "../store.ts";
import type { NoteRecord } from "../tasks.ts";

const BATCH_COLUMNS = {
  id: ({ id }) => id,
  user: ({ user }) => user,
  first_seq: ({ firstSeq }) => firstSeq,
  size: ({ size }) => size,
  whole: ({ whole }) => (whole ? 1 : 0),
  webhook: ({ webhook }) => jsonOf(webhook),
  created_at: ({ createdAt }) => createdAt,
  finished_at: ({ finishedAt }) => finishedAt,
  lines: ({ lines }) => jsonOf(lines),
  team: ({ team }) => team,
} as const satisfies Columns<Batch>;

const NOTE_COLUMNS = {
  seq: ({ seq }) => seq,
  note: ({ note }) => note,
} as const satisfies Columns<NoteRecord>;

const IDEMPOTENCY_COLUMNS = {
  user: ({ user }) => user,
  key: ({ key }) => key,
  fingerprint: ({ fingerprint }) => fingerprint,
  answer: ({ answer }) => answer,
  created_at: ({ createdAt }) => createdAt,
} as const satisfies Columns<IdempotencyRecord>;

/** The columns of a delivery that change. */
const TRIED_COLUMNS = {
  status: ({ status }) => status,
  next_at: ({ nextAt }) => nextAt,
  attempts: ({ attempts }) => JSON.stringify(attempts),
} as const satisfies Columns<Delivery>;

const DELIVERY_COLUMNS = {
  id: ({ id }) => id,
  subject: ({ subject }) => subject,
  user: ({ user }) => user,
  event: ({ event }) => event,
  url: ({ url }) => url,
  body: ({ body }) => body,
  created_at: ({ createdAt }) => createdAt,
  ...TRIED_COLUMNS,
} as const satisfies Columns<Delivery>;

const CLOCK_COLUMNS = {
  // There is one row.
  number: () => 1,
  now: ({ now }) => now,
  wall: ({ wall }) => wall,
  held_now: ({ held }) => held?.now ?? null,
  held_wall: ({ held }) => held?.wall ?? null,
} as const satisfies Columns<RecordedTimes>;

const SECRET_COLUMNS = {
  user: ({ user }) => user,
  secret: ({ secret }) => secret,
  previous: ({ previous }) => previous,
  previous_until: ({ previousUntil }) => previousUntil,
  created_at: ({ createdAt }) => createdAt,
  shown: ({ shown }) => (shown ? 1 : 0),
} as const satisfies Columns<WebhookSecret>;

const ENDPOINT_COLUMNS = {
  user: ({ user }) => user,
  origin: ({ origin }) => origin,
  failing_since: ({ failingSince }) => failingSince,
  paused_at: ({ pausedAt }) => pausedAt,
} as const satisfies Columns<WebhookEndpoint>;

export const BATCH = namesOf(BATCH_COLUMNS);
export const NOTE = namesOf(NOTE_COLUMNS);
export const IDEMPOTENCY = namesOf(IDEMPOTENCY_COLUMNS);
export const DELIVERY = namesOf(DELIVERY_COLUMNS);
/** The columns of a delivery that change; in the row of a `delivery` its id follows them. */
export const TRIED = namesOf(TRIED_COLUMNS);
export const CLOCK = namesOf(CLOCK_COLUMNS);
export const SECRET = namesOf(SECRET_COLUMNS);
export const ENDPOINT = namesOf(ENDPOINT_COLUMNS);
/** The indexes in the row of a delivery that was tried. */
export const IN_TRIED = placesOf([...namesOf(TRIED_COLUMNS), "id"] as const);

/** A record on its way to the database: the values by which its kind is written. */
export interface RecordRow {
  readonly kind: StoreRecord["kind"];
  readonly row: Row;
}

const BY_ID = { id: DELIVERY_COLUMNS.id } as const satisfies Columns<Delivery>;

const rowOfBatch = rowMaker<Batch>(BATCH_COLUMNS);
const rowOfNote = rowMaker<NoteRecord>(NOTE_COLUMNS);
const rowOfKey = rowMaker<IdempotencyRecord>(IDEMPOTENCY_COLUMNS);
const rowOfDelivery = rowMaker<Delivery>(DELIVERY_COLUMNS);
const rowOfTry = rowMaker<Delivery>({ ...TRIED_COLUMNS, ...BY_ID });
const rowOfTimes = rowMaker<RecordedTimes>(CLOCK_COLUMNS);
const rowOfSecret = rowMaker<WebhookSecret>(SECRET_COLUMNS);
const rowOfEndpoint = rowMaker<WebhookEndpoint>(ENDPOINT_COLUMNS);

export function recordRow(record: StoreRecord): RecordRow {
  return { kind: record.kind, row: rowOf(record) };
}

function rowOf(record: StoreRecord): Row {
  switch (record.kind) {
    case "batch":
      return rowOfBatch(record.batch);
    case "note":
      return rowOfNote(record);
    case "idempotency":
      return rowOfKey(record.record);
    case "event":
      return rowOfDelivery(record.delivery);
    case "delivery":
      return rowOfTry(record.delivery);
    case "clock":
      return rowOfTimes(record.clock);
    case "secret":
      return rowOfSecret(record.secret);
    case "endpoint":
      return rowOfEndpoint(record.endpoint);
    case "endpoint_works":
      return [record.user, record.origin];
    case "batch_file":
      return rowOfBatchFile(record.file);
    case "refused_line":
      return rowOfRefusedLine(record.line);
    case "file":
      return rowOfFile(record.file);
    case "file_hold":
    case "file_release":
      return [record.id, record.holder];
    case "audit":
      return rowOfAudit(record.row);
  }
}

/** The subject of a record: saves whose records have one in common belong together. */
export function recordKey(record: StoreRecord): string {
  switch (record.kind) {
    case "batch":
      return `batch ${record.batch.id}`;
    case "note":
      return `note ${record.seq}`;
    case "idempotency":
      return `key ${JSON.stringify([record.record.user, record.record.key])}`;
    case "event":
    case "delivery":
      return `delivery ${record.delivery.id}`;
    case "clock":
      return "clock";
    case "secret":
      return `secret ${record.secret.user}`;
    case "endpoint":
      return `endpoint ${record.endpoint.origin} ${record.endpoint.user}`;
    case "endpoint_works":
      return `endpoint ${record.origin} ${record.user}`;
    case "batch_file":
      return `batch ${record.file.id}`;
    case "refused_line":
      return `line ${record.line.seq}`;
    case "file":
      return `file ${record.file.id}`;
    case "file_hold":
    case "file_release":
      return `file ${record.id}`;
    case "audit":
      return `audit ${record.row.id}`;
  }
}

const IN_BATCH = placesOf(BATCH);
const IN_KEY = placesOf(IDEMPOTENCY);
const IN_DELIVERY = placesOf(DELIVERY);
const IN_CLOCK = placesOf(CLOCK);
const IN_SECRET = placesOf(SECRET);
const IN_ENDPOINT = placesOf(ENDPOINT);

/** The batch of a row of `BATCH`. */
export function batchOf(row: Row): Batch {
  return {
    id: row[IN_BATCH.id] as string,
    user: row[IN_BATCH.user] as string,
    team: row[IN_BATCH.team] as string | null,
    firstSeq: row[IN_BATCH.first_seq] as number,
    size: row[IN_BATCH.size] as number,
    whole: row[IN_BATCH.whole] === 1,
    webhook: parsed<Webhook>(row[IN_BATCH.webhook]),
    createdAt: row[IN_BATCH.created_at] as number,
    finishedAt: row[IN_BATCH.finished_at] as number | null,
    lines: parsed<BatchLines>(row[IN_BATCH.lines]),
  };
}

/** The record of a row of `IDEMPOTENCY`. */
export function idempotencyOf(row: Row): IdempotencyRecord {
  return {
    user: row[IN_KEY.user] as string,
    key: row[IN_KEY.key] as string,
    fingerprint: row[IN_KEY.fingerprint] as string,
    answer: row[IN_KEY.answer] as string,
    createdAt: row[IN_KEY.created_at] as number,
  };
}

/** The delivery of a row of `DELIVERY`. */
export function deliveryOf(row: Row): Delivery {
  return {
    id: row[IN_DELIVERY.id] as string,
    subject: row[IN_DELIVERY.subject] as string,
    user: row[IN_DELIVERY.user] as string,
    event: row[IN_DELIVERY.event] as WebhookEvent,
    url: row[IN_DELIVERY.url] as string,
    body: row[IN_DELIVERY.body] as string,
    createdAt: row[IN_DELIVERY.created_at] as number,
    status: row[IN_DELIVERY.status] as Delivery["status"],
    nextAt: row[IN_DELIVERY.next_at] as number,
    attempts: parsed<DeliveryAttempt[]>(row[IN_DELIVERY.attempts]) ?? [],
  };
}

/** The times of a row of `CLOCK`. */
export function timesOf(row: Row): RecordedTimes {
  const heldNow = row[IN_CLOCK.held_now] as number | null;
  const held = heldNow === null ? null : { now: heldNow, wall: row[IN_CLOCK.held_wall] as number };
  return { now: row[IN_CLOCK.now] as number, wall: row[IN_CLOCK.wall] as number, held };
}

/** The secret of a row of `SECRET`. */
export function secretOf(row: Row): WebhookSecret {
  return {
    user: row[IN_SECRET.user] as string,
    secret: row[IN_SECRET.secret] as string,
    previous: row[IN_SECRET.previous] as string | null,
    previousUntil: row[IN_SECRET.previous_until] as number | null,
    createdAt: row[IN_SECRET.created_at] as number,
    shown: row[IN_SECRET.shown] === 1,
  };
}

/** The endpoint of a row of `ENDPOINT`. */
export function endpointOf(row: Row): WebhookEndpoint {
  return {
    user: row[IN_ENDPOINT.user] as string,
    origin: row[IN_ENDPOINT.origin] as string,
    failingSince: row[IN_ENDPOINT.failing_since] as number,
    pausedAt: row[IN_ENDPOINT.paused_at] as number | null,
  };
}
