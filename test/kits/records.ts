/* Records that the kits of the stores save, each as a test needs it. */
import type { AuditFilter, AuditRow } from "../../src/store/audit.ts";
import type { AnswerRecord, IdempotencyRecord } from "../../src/store/idempotency.ts";
import type { StoredFile } from "../../src/store/files.ts";
import type { Delivery, OutboxRecord, WebhookEndpoint, WebhookSecret } from "../../src/store/outbox.ts";

export const NOW = 1_700_000_000_000;

export const SECRET: WebhookSecret = {
  user: "ada",
  secret: "whsec_bmV3",
  previous: "whsec_b2xk",
  previousUntil: NOW + 1,
  createdAt: NOW,
  shown: true,
};

export const KEY: IdempotencyRecord = {
  user: "ada",
  key: "k",
  fingerprint: "f",
  answer: `{"task_id":"1"}`,
  createdAt: NOW,
};

export const FILE: StoredFile = {
  id: "f",
  user: "ada",
  team: null,
  purpose: "batch",
  filename: "lines.jsonl",
  bytes: 7,
  sha256: "00",
  createdAt: NOW,
  keptFrom: NOW,
  lifetime: null,
};

export const ENDPOINT: WebhookEndpoint = {
  user: "ada",
  origin: "https://example.com",
  failingSince: NOW,
  pausedAt: NOW + 5,
};

export const AUDIT_ROW: AuditRow = {
  id: "a",
  at: NOW,
  keptFrom: NOW,
  way: "http",
  user: "ada",
  key: "ada-1",
  address: "192.0.2.7",
  action: "config.change",
  target: null,
  outcome: "ok",
  details: "log.level",
};

export const ALL_ROWS: AuditFilter = {
  user: undefined,
  action: undefined,
  target: undefined,
  since: undefined,
  until: undefined,
  after: undefined,
  limit: 1000,
};

export function secret(of: WebhookSecret): OutboxRecord {
  return { kind: "secret", secret: of };
}

export function event(delivery: Delivery): OutboxRecord {
  return { kind: "event", delivery };
}

export function idempotency(record: IdempotencyRecord): AnswerRecord {
  return { kind: "idempotency", record };
}
