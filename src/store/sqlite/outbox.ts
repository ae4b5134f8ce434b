/* The reads of webhooks: deliveries, secrets, and endpoints against which something is held. */
import type { WebhookEndpoint, WebhookSecret } from "../outbox.ts";
import type { Row } from "../thread/columns.ts";
import { DELIVERY, ENDPOINT, endpointOf, SECRET, secretOf } from "../thread/records.ts";
import type { Statements } from "./statements.ts";

const DELIVERIES = `SELECT ${DELIVERY.join()} FROM deliveries`;

/** Each user's pending deliveries, at most `limit`, in the order of their next tries. */
export function pendingDeliveries(sql: Statements, limit: number): Iterable<Row> {
  // Jumps from user to user in the index.
  const numbers = `WITH RECURSIVE users(name) AS (
      SELECT min(user) FROM deliveries WHERE status = 'pending'
      UNION ALL
      SELECT (SELECT min(user) FROM deliveries WHERE status = 'pending' AND user > name) FROM users WHERE name IS NOT NULL)
    SELECT number FROM users JOIN deliveries ON number IN (
      SELECT number FROM deliveries WHERE status = 'pending' AND user = name ORDER BY next_at, number LIMIT :limit)
    WHERE name IS NOT NULL ORDER BY next_at, number`;
  return deliveries(sql, sql.numbers(numbers, { limit }));
}

/** Pending deliveries; `most`: as many or more, as counting a million of them would hold up writes. */
export function countPending(sql: Statements, most: number, user?: string): number {
  const where = `status = 'pending'${user === undefined ? "" : " AND user = :user"}`;
  const counted = `SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE ${where} LIMIT :most)`;
  return sql.numbers(counted, { most, ...(user !== undefined && { user }) })[0] ?? 0;
}

/** Those about a task or batch, oldest first. */
export function deliveriesOf(sql: Statements, subject: string): Iterable<Row> {
  const numbers = "SELECT number FROM deliveries WHERE subject = :subject ORDER BY created_at, number";
  return deliveries(sql, sql.numbers(numbers, { subject }));
}

export function findSecret(sql: Statements, user: string): WebhookSecret | null {
  const [row] = sql.rows(`SELECT ${SECRET.join()} FROM webhook_secrets WHERE user = :user`, { user });
  return row === undefined ? null : secretOf(row);
}

export function endpoints(sql: Statements): WebhookEndpoint[] {
  return sql
    .rows(`SELECT ${ENDPOINT.join()} FROM webhook_endpoints ORDER BY failing_since, user, origin`)
    .map(endpointOf);
}

function* deliveries(sql: Statements, numbers: readonly number[]): Iterable<Row> {
  for (const number of numbers) yield* sql.rows(`${DELIVERIES} WHERE number = :number`, { number });
}
