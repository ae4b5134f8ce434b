/* How what stands beside tasks looks as rows. */
import type { Batch, Webhook, WebhookEvent } from "../../task.ts";
import type { RecordedTimes } from "../gap.ts";
import { jsonOf, parsed, type Row } from "./rows.ts";
import type { Delivery, DeliveryAttempt, IdempotencyRecord, StoreRecord, WebhookSecret } from "../store.ts";

export const BATCH = ["id", "user", "first_seq", "size", "whole", "webhook", "created_at", "finished_at"] as const;
export const IDEMPOTENCY = ["user", "key", "fingerprint", "answer", "created_at"] as const;
export const DELIVERY = [
  "id",
  "subject",
  "user",
  "event",
  "url",
  "body",
  "created_at",
  "status",
  "next_at",
  "attempts",
] as const;
export const CLOCK = ["number", "now", "wall", "held_now", "held_wall"] as const;
export const SECRET = ["user", "secret", "previous", "previous_until", "created_at", "shown"] as const;

/** A record on its way to the database: the values of its statement in `WRITES`. */
export interface RecordRow {
  readonly kind: StoreRecord["kind"];
  readonly row: Row;
}

/** How each kind of record is written. REPLACE deletes the row that is in the way. */
export const WRITES: Readonly<Record<StoreRecord["kind"], string>> = {
  batch: insert("INSERT OR REPLACE", "batches", BATCH),
  idempotency: insert("INSERT OR REPLACE", "idempotency_keys", IDEMPOTENCY),
  event: `${insert("INSERT", "deliveries", DELIVERY)} ON CONFLICT (id) DO NOTHING`,
  delivery: "UPDATE deliveries SET status = ?, next_at = ?, attempts = ? WHERE id = ?",
  clock: insert("INSERT OR REPLACE", "clock", CLOCK),
  secret: insert("INSERT OR REPLACE", "webhook_secrets", SECRET),
};

export function recordRow(record: StoreRecord): RecordRow {
  return { kind: record.kind, row: rowOf(record) };
}

function rowOf(record: StoreRecord): Row {
  switch (record.kind) {
    case "batch": {
      const { id, user, firstSeq, size, whole, webhook, createdAt, finishedAt } = record.batch;
      return [id, user, firstSeq, size, whole ? 1 : 0, jsonOf(webhook), createdAt, finishedAt];
    }
    case "idempotency": {
      const { user, key, fingerprint, answer, createdAt } = record.record;
      return [user, key, fingerprint, answer, createdAt];
    }
    case "event": {
      const { id, subject, user, event, url, body, createdAt, status, nextAt, attempts } = record.delivery;
      return [id, subject, user, event, url, body, createdAt, status, nextAt, JSON.stringify(attempts)];
    }
    case "delivery": {
      const { status, nextAt, attempts, id } = record.delivery;
      return [status, nextAt, JSON.stringify(attempts), id];
    }
    case "clock": {
      const { now, wall, held } = record.clock;
      return [1, now, wall, held?.now ?? null, held?.wall ?? null];
    }
    case "secret": {
      const { user, secret, previous, previousUntil, createdAt, shown } = record.secret;
      return [user, secret, previous, previousUntil, createdAt, shown ? 1 : 0];
    }
  }
}

/** What a record is about: saves whose records have one in common belong together. */
export function recordKey(record: StoreRecord): string {
  switch (record.kind) {
    case "batch":
      return `batch ${record.batch.id}`;
    case "idempotency":
      return `key ${JSON.stringify([record.record.user, record.record.key])}`;
    case "event":
    case "delivery":
      return `delivery ${record.delivery.id}`;
    case "clock":
      return "clock";
    case "secret":
      return `secret ${record.secret.user}`;
  }
}

/** The batch of a row of `BATCH`. */
export function batchOf(row: Row): Batch {
  const [id, user, firstSeq, size, whole, webhook, createdAt, finishedAt] = row;
  return {
    id: id as string,
    user: user as string,
    firstSeq: firstSeq as number,
    size: size as number,
    whole: whole === 1,
    webhook: parsed<Webhook>(webhook),
    createdAt: createdAt as number,
    finishedAt: finishedAt as number | null,
  };
}

/** The record of a row of `IDEMPOTENCY`. */
export function idempotencyOf(row: Row): IdempotencyRecord {
  const [user, key, fingerprint, answer, createdAt] = row;
  return {
    user: user as string,
    key: key as string,
    fingerprint: fingerprint as string,
    answer: answer as string,
    createdAt: createdAt as number,
  };
}

/** The delivery of a row of `DELIVERY`. */
export function deliveryOf(row: Row): Delivery {
  const [id, subject, user, event, url, body, createdAt, status, nextAt, attempts] = row;
  return {
    id: id as string,
    subject: subject as string,
    user: user as string,
    event: event as WebhookEvent,
    url: url as string,
    body: body as string,
    createdAt: createdAt as number,
    status: status as Delivery["status"],
    nextAt: nextAt as number,
    attempts: parsed<DeliveryAttempt[]>(attempts) ?? [],
  };
}

/** The times of a row of `CLOCK`. */
export function timesOf(row: Row): RecordedTimes {
  const [, now, wall, heldNow, heldWall] = row;
  const held = heldNow === null ? null : { now: heldNow as number, wall: heldWall as number };
  return { now: now as number, wall: wall as number, held };
}

/** The secret of a row of `SECRET`. */
export function secretOf(row: Row): WebhookSecret {
  const [user, secret, previous, previousUntil, createdAt, shown] = row;
  return {
    user: user as string,
    secret: secret as string,
    previous: previous as string | null,
    previousUntil: previousUntil as number | null,
    createdAt: createdAt as number,
    shown: shown === 1,
  };
}

function insert(how: string, table: string, columns: readonly string[]): string {
  return `${how} INTO ${table} (${columns.join()}) VALUES (${columns.map(() => "?").join()})`;
}
