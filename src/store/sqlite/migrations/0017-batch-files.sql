-- Batches whose tasks come little by little from the lines of a file.
ALTER TABLE batches ADD COLUMN lines TEXT; -- JSON; NULL: its tasks came at once

CREATE TABLE batch_files (
  number      INTEGER PRIMARY KEY,
  id          TEXT NOT NULL UNIQUE, -- of the batch as well
  user        TEXT NOT NULL,
  output_file TEXT UNIQUE,
  error_file  TEXT UNIQUE,
  facts       TEXT NOT NULL,        -- JSON
  ended_at    INTEGER               -- by the server's clock
);
CREATE INDEX batch_files_by_user ON batch_files (user, number);
CREATE INDEX batch_files_by_output ON batch_files (user, output_file) WHERE output_file IS NOT NULL;
CREATE INDEX batch_files_by_errors ON batch_files (user, error_file) WHERE error_file IS NOT NULL;
CREATE INDEX batch_files_unfinished ON batch_files (number) WHERE ended_at IS NULL;
CREATE INDEX batch_files_by_end ON batch_files (ended_at) WHERE ended_at IS NOT NULL;

-- The lines of files that became no tasks, by the numbers that these would have.
CREATE TABLE refused_lines (
  seq       INTEGER PRIMARY KEY,
  custom_id TEXT,
  failure   TEXT NOT NULL -- JSON
);
