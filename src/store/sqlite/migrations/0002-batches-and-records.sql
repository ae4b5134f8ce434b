ALTER TABLE tasks ADD COLUMN priority TEXT NOT NULL DEFAULT 'normal';
ALTER TABLE tasks ADD COLUMN timeout_seconds REAL;
ALTER TABLE tasks ADD COLUMN retry_of TEXT;
ALTER TABLE tasks ADD COLUMN webhook TEXT; -- JSON

CREATE INDEX tasks_by_batch ON tasks (batch_id, status) WHERE batch_id IS NOT NULL;
-- A sweep looks at what is due and at nothing else. Ends come in order, so each goes to the end of the index.
CREATE INDEX tasks_by_end ON tasks (finished_at) WHERE finished_at IS NOT NULL;

-- One row: a `seq` is never given again, not even when the last task that had one has been removed.
CREATE TABLE removed (
  last_seq INTEGER NOT NULL
);
INSERT INTO removed VALUES (0);

CREATE TABLE batches (
  id          TEXT PRIMARY KEY NOT NULL,
  user        TEXT NOT NULL,
  first_seq   INTEGER NOT NULL,
  size        INTEGER NOT NULL,
  whole       INTEGER NOT NULL,
  webhook     TEXT, -- JSON
  created_at  INTEGER NOT NULL,
  finished_at INTEGER
);
CREATE INDEX batches_unfinished ON batches (first_seq) WHERE finished_at IS NULL;

INSERT INTO batches (id, user, first_seq, size, whole, created_at, finished_at)
  SELECT
    batch_id, min(user), min(seq), count(*), max(whole_batch), min(created_at),
    CASE WHEN max(status IN ('queued', 'running')) THEN NULL ELSE coalesce(max(finished_at), max(created_at)) END
  FROM tasks WHERE batch_id IS NOT NULL GROUP BY batch_id;

-- With a number of its own: an answer about a batch is long, and a long row makes a WITHOUT ROWID table slow.
CREATE TABLE idempotency_keys (
  number      INTEGER PRIMARY KEY,
  user        TEXT NOT NULL,
  key         TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  answer      TEXT NOT NULL, -- JSON
  created_at  INTEGER NOT NULL,
  UNIQUE (user, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TABLE deliveries (
  number     INTEGER PRIMARY KEY,
  id         TEXT NOT NULL UNIQUE,
  subject    TEXT NOT NULL, -- the id of a task or batch
  user       TEXT NOT NULL,
  event      TEXT NOT NULL,
  url        TEXT NOT NULL,
  body       TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  status     TEXT NOT NULL,
  next_at    INTEGER NOT NULL,
  attempts   TEXT NOT NULL -- JSON
);
CREATE INDEX deliveries_by_subject ON deliveries (subject, created_at);
CREATE INDEX deliveries_pending ON deliveries (next_at) WHERE status = 'pending';

CREATE TABLE webhook_secrets (
  user           TEXT PRIMARY KEY NOT NULL,
  secret         TEXT NOT NULL,
  previous       TEXT,
  previous_until INTEGER,
  created_at     INTEGER NOT NULL,
  shown          INTEGER NOT NULL
);
