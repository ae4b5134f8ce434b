-- The team that the user was in when it submitted the task, made the batch, or uploaded the file; NULL: none, or from before this column.
ALTER TABLE tasks ADD COLUMN team TEXT;
CREATE INDEX tasks_by_team ON tasks (team, status) WHERE team IS NOT NULL;

ALTER TABLE batches ADD COLUMN team TEXT;

ALTER TABLE files ADD COLUMN team TEXT;
CREATE INDEX files_by_team ON files (team, created_at, id, purpose) WHERE team IS NOT NULL;

ALTER TABLE batch_files ADD COLUMN team TEXT;
CREATE INDEX batch_files_by_team ON batch_files (team, number) WHERE team IS NOT NULL;
CREATE INDEX batch_files_by_team_output ON batch_files (team, output_file) WHERE team IS NOT NULL AND output_file IS NOT NULL;
CREATE INDEX batch_files_by_team_errors ON batch_files (team, error_file) WHERE team IS NOT NULL AND error_file IS NOT NULL;

-- The key of a table cannot get another column.
ALTER TABLE usage_hours RENAME TO usage_without_team;
CREATE TABLE usage_hours (
  hour              INTEGER NOT NULL, -- of Unix time
  user              TEXT NOT NULL,
  team              TEXT NOT NULL,    -- '': none
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
  PRIMARY KEY (hour, user, team, key_name, model, gpu_id)
) WITHOUT ROWID;
INSERT INTO usage_hours
  SELECT hour, user, '', key_name, model, gpu_id, completed, failed, canceled, prompt_tokens, completion_tokens, cached_tokens, gpu_seconds,
    energy_joules, queued_seconds
  FROM usage_without_team;
DROP TABLE usage_without_team;
