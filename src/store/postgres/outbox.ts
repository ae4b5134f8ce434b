/* The statements of webhooks and of idempotency keys. */
import type { IdempotencyRecord } from "../idempotency.ts";
import type { WebhookEndpoint, WebhookSecret } from "../outbox.ts";
import type { Row } from "../thread/columns.ts";
import { DELIVERY, ENDPOINT, endpointOf, IDEMPOTENCY, idempotencyOf, SECRET, secretOf } from "../thread/records.ts";
import { listOf } from "./columns.ts";
import type { Session } from "./session.ts";

const PENDING = `
  WITH RECURSIVE users(name) AS (
    SELECT min("user") FROM deliveries WHERE status = 'pending'
    UNION ALL
    SELECT (SELECT min("user") FROM deliveries WHERE status = 'pending' AND "user" > name) FROM users WHERE name IS NOT NULL)
  SELECT ${listOf(DELIVERY, "found.")} FROM users CROSS JOIN LATERAL (
    SELECT ${listOf(DELIVERY)}, number FROM deliveries WHERE status = 'pending' AND "user" = name
    ORDER BY next_at, number LIMIT :limit) AS found
  WHERE name IS NOT NULL ORDER BY found.next_at, found.number`;
const OF_SUBJECT = `SELECT ${listOf(DELIVERY)} FROM deliveries WHERE subject = :subject ORDER BY created_at, number`;
const SECRET_OF = `SELECT ${listOf(SECRET)} FROM webhook_secrets WHERE "user" = :user`;
const ENDPOINTS = `SELECT ${listOf(ENDPOINT)} FROM webhook_endpoints ORDER BY failing_since, "user", origin`;
const KEY = `SELECT ${listOf(IDEMPOTENCY)} FROM idempotency_keys WHERE "user" = :user AND key = :key`;

/** Each user's pending deliveries, at most `limit`, in the order of their next tries. It jumps from user to user in the index. */
export function pendingDeliveries(session: Session, limit: number): Promise<Row[]> {
  return session.rows(PENDING, { limit });
}

/** Pending deliveries, of one user where one is named; `most`: as many or more. */
export async function countPending(session: Session, most: number, user?: string): Promise<number> {
  const where = `status = 'pending'${user === undefined ? "" : ' AND "user" = :user'}`;
  const counted = `SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE ${where} LIMIT :most) AS pending`;
  return (await session.numbers(counted, { most, user }))[0] ?? 0;
}

/** Those about a task or batch, oldest first. */
export function deliveriesOf(session: Session, subject: string): Promise<Row[]> {
  return session.rows(OF_SUBJECT, { subject });
}

export async function findSecret(session: Session, user: string): Promise<WebhookSecret | null> {
  const [row] = await session.rows(SECRET_OF, { user });
  return row === undefined ? null : secretOf(row);
}

export async function endpoints(session: Session): Promise<WebhookEndpoint[]> {
  return (await session.rows(ENDPOINTS)).map(endpointOf);
}

export async function findKey(session: Session, user: string, key: string): Promise<IdempotencyRecord | null> {
  const [row] = await session.rows(KEY, { user, key });
  return row === undefined ? null : idempotencyOf(row);
}
