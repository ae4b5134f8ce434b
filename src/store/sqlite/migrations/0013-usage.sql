-- The name of the API key that the task came with; NULL: none, or from before this column.
ALTER TABLE tasks ADD COLUMN key_name TEXT;
-- JSON: what the task has cost (src/task-use.ts); NULL: it has not run, or ran before this column.
ALTER TABLE tasks ADD COLUMN used TEXT;

-- What tasks that ended in an hour have cost. Nothing that belongs to the key may be NULL: no two NULLs are equal.
CREATE TABLE usage_hours (
  hour              INTEGER NOT NULL, -- of Unix time
  user              TEXT NOT NULL,
  key_name          TEXT NOT NULL,    -- '': none
  model             TEXT NOT NULL,    -- '': none
  gpu_id            INTEGER NOT NULL, -- -1: none
  completed         INTEGER NOT NULL,
  failed            INTEGER NOT NULL,
  canceled          INTEGER NOT NULL,
  prompt_tokens     INTEGER,          -- NULL here and below: of no task known
  completion_tokens INTEGER NOT NULL,
  cached_tokens     INTEGER,
  gpu_seconds       REAL NOT NULL,
  energy_joules     REAL,
  queued_seconds    REAL NOT NULL,
  PRIMARY KEY (hour, user, key_name, model, gpu_id)
) WITHOUT ROWID;
