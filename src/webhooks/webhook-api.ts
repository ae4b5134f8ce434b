/** The requests that other parts make of the webhooks. */
import type { Delivery, WebhookEndpoint } from "../store/outbox.ts";

/** A user's secret, as far as it may be told. */
export interface SecretView {
  /** `whsec_…`; null: it was shown before. */
  readonly secret: string | null;
  /** Unix milliseconds. */
  readonly createdAt: number;
  /** Unix milliseconds until which the one before signs too; null: there is none. */
  readonly previousUntil: number | null;
}

export interface WebhookApi {
  /**
   * Checks an address before anything is sent there.
   * @throws {AltLasError} `invalid_input`, naming `webhook_url`: it is not http or https, has no such host, or leads to a private,
   *   loopback or link-local address; as `room`
   * @returns sentences for the client about what is accepted
   */
  check(url: string, user: string): Promise<readonly string[]>;
  /** Room for the webhooks of one more submission of a user. @throws {AltLasError} `rate_limited`: too many of them wait */
  room(user: string): Promise<void>;
  /** The user's secret, made when there is none; the first time with the secret itself. */
  secretOf(user: string): Promise<SecretView>;
  /** Makes a new secret, which is shown now and never again; the one before signs beside it for a day. */
  rotateSecret(user: string): Promise<SecretView>;
  /** All deliveries about a task or batch, oldest first. */
  deliveriesOf(subject: string): Promise<readonly Delivery[]>;
  /**
   * Has deliveries about a task or batch sent once more, now.
   * @param id of one of them; null: all
   * @returns all deliveries about it
   * @throws {AltLasError} `not_found`: there is no such delivery
   */
  redeliver(subject: string, id: string | null): Promise<readonly Delivery[]>;
  /** Endpoints that fail, with times as they are shown. @param user of one user alone */
  endpoints(user?: string): Promise<readonly WebhookEndpoint[]>;
  /**
   * Sends again to endpoints of a user, as if they had never failed.
   * @param origin of one of them; null: all @param by the user who says so
   * @throws {AltLasError} `not_found`: nothing is held against that one
   */
  resume(user: string, origin: string | null, by: string): Promise<void>;
}
