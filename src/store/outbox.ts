/* The port of webhooks: the deliveries on their way, and the secrets that sign them. */
import type { WebhookEvent } from "../task.ts";

/** One try to bring a webhook to its receiver. */
export interface DeliveryAttempt {
  /** As it is shown; Unix milliseconds. */
  readonly at: number;
  /** By the server's clock; absent: the same. */
  readonly clock?: number;
  /** Of the receiver's answer; null: there was none. */
  readonly status: number | null;
  /** Why it failed, where the status does not say so; null: the status does, or it did not fail. */
  readonly error: string | null;
  /** Milliseconds it took. */
  readonly duration: number;
  /** Nothing was sent, because the endpoint is paused; the next try begins another round. */
  readonly untried?: true;
}

/** One event on its way to its receiver. Times are Unix milliseconds. */
export interface Delivery {
  /** The same event always has the same one. */
  readonly id: string;
  /** The id of the task or batch that it is about. */
  readonly subject: string;
  readonly user: string;
  readonly event: WebhookEvent;
  readonly url: string;
  /** The message, the same bytes with every try. */
  readonly body: string;
  readonly createdAt: number;
  readonly status: "pending" | "delivered" | "failed";
  /** When to try next, while it is pending, by the server's clock. */
  readonly nextAt: number;
  readonly attempts: readonly DeliveryAttempt[];
}

/** The secrets that sign a user's webhooks. Times are Unix milliseconds. */
export interface WebhookSecret {
  readonly user: string;
  /** `whsec_` and base64. */
  readonly secret: string;
  /** The one before, which signs too until `previousUntil`. */
  readonly previous: string | null;
  /** By the server's clock. */
  readonly previousUntil: number | null;
  readonly createdAt: number;
  /** Whether the user has seen it. */
  readonly shown: boolean;
}

/** A server to which one user's webhooks go in vain. Times are Unix milliseconds by the server's clock. */
export interface WebhookEndpoint {
  readonly user: string;
  /** Like `https://example.com:8443`. */
  readonly origin: string;
  /** The first failure after the last success. */
  readonly failingSince: number;
  /** Since when nothing is sent there; null: it is. */
  readonly pausedAt: number | null;
}

export type OutboxRecord =
  /** A new delivery. If it is stored already, nothing happens. */
  | { readonly kind: "event"; readonly delivery: Delivery }
  /** The present state of a stored delivery. If it is not stored, nothing happens. */
  | { readonly kind: "delivery"; readonly delivery: Delivery }
  | { readonly kind: "secret"; readonly secret: WebhookSecret }
  /** The present state of an endpoint. */
  | { readonly kind: "endpoint"; readonly endpoint: WebhookEndpoint }
  /** Nothing is held against it any more. */
  | { readonly kind: "endpoint_works"; readonly user: string; readonly origin: string };

/**
 * Promises of every implementation, beside those of the whole store (test/kits/outbox.ts):
 *  1. An event that is saved again is stored once, as it was first: a task that is written twice announces nothing twice.
 *  2. Of a delivery only its status, its next time and its attempts change.
 *  3. Many deliveries of one user hide none of another user's.
 */
export interface Outbox {
  /** Writes records that belong to no change of a task; as `Store.save`. */
  write(records: readonly OutboxRecord[]): Promise<void>;
  /** Each user's pending deliveries, at most `limit` of one user, in the order of their next tries. */
  pendingDeliveries(limit: number): Promise<Delivery[]>;
  /** How many are pending, of one user where one is named; `most`: as many or more. */
  countPending(most: number, user?: string): Promise<number>;
  /** All deliveries about a task or batch, oldest first. */
  deliveriesOf(subject: string): Promise<Delivery[]>;
  secret(user: string): Promise<WebhookSecret | null>;
  /** All endpoints against which something is held. */
  endpoints(): Promise<WebhookEndpoint[]>;
}
