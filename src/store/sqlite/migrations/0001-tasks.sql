-- Not STRICT: a time with a fraction of a millisecond is better kept than refused.
CREATE TABLE tasks (
  seq               INTEGER PRIMARY KEY,
  id                TEXT NOT NULL,
  user              TEXT NOT NULL,
  strategy          TEXT NOT NULL,
  pinned_gpu_id     INTEGER,
  batch_id          TEXT,
  whole_batch       INTEGER NOT NULL,
  created_at        INTEGER NOT NULL,
  max_length        INTEGER NOT NULL,
  temperature       REAL NOT NULL,
  task_type         TEXT NOT NULL,
  status            TEXT NOT NULL,
  gpu_id            INTEGER,
  started_at        INTEGER,
  finished_at       INTEGER,
  attempts          TEXT NOT NULL, -- JSON
  placement         TEXT,          -- JSON
  result_text       TEXT,
  execution_time    REAL,          -- seconds
  result_timestamp  INTEGER,
  finish_reason     TEXT,
  prompt_tokens     INTEGER,
  completion_tokens INTEGER,
  error_code        TEXT,
  error_sentence    TEXT
);

-- Apart from `tasks`, because SQLite rewrites a whole row when one of its columns changes.
CREATE TABLE prompts (
  seq  INTEGER PRIMARY KEY,
  text TEXT NOT NULL
);

CREATE UNIQUE INDEX tasks_by_id ON tasks (id);

-- Every index on an INTEGER PRIMARY KEY table ends in the key, so both of these give tasks in submission order.
CREATE INDEX tasks_by_user ON tasks (user, status);
CREATE INDEX tasks_by_status ON tasks (status);
