/* The port of idempotency: answers that a client gets again when it repeats its request. */

/** An answered request that a client may send again. */
export interface IdempotencyRecord {
  readonly user: string;
  /** The client's own name for it. */
  readonly key: string;
  /** Equal for requests that are the same. */
  readonly fingerprint: string;
  /** The answer, as JSON. */
  readonly answer: string;
  /** By the server's clock. */
  readonly createdAt: number;
}

/** It is written together with what the answer names. */
export interface AnswerRecord {
  readonly kind: "idempotency";
  readonly record: IdempotencyRecord;
}

/**
 * Promises of every implementation, beside those of the whole store (test/kits/idempotency.ts):
 *  1. A key belongs to its user. A newer record takes the place of an older one with the same key.
 *  2. A record is there until a sweep finds it too old (`SweepLimits.keysBefore`), whatever becomes of what its answer names.
 */
export interface IdempotencyStore {
  find(user: string, key: string): Promise<IdempotencyRecord | null>;
}
