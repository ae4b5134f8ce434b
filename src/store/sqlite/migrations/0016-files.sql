-- Files that clients have uploaded; their bytes are in the folder `files` of the data directory.
CREATE TABLE files (
  number     INTEGER PRIMARY KEY,
  id         TEXT NOT NULL UNIQUE,
  user       TEXT NOT NULL,
  purpose    TEXT NOT NULL,
  filename   TEXT NOT NULL,
  bytes      INTEGER NOT NULL,
  sha256     TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  kept_from  INTEGER NOT NULL, -- by the server's clock
  lifetime   INTEGER,          -- milliseconds; NULL: as long as tasks
  UNIQUE (user, sha256, purpose, filename)
);
-- With the purpose, so that a list that selects by it reads no other rows.
CREATE INDEX files_by_time ON files (created_at, id, purpose);
CREATE INDEX files_by_user ON files (user, created_at, id, purpose, bytes);
CREATE INDEX files_by_age ON files (kept_from) WHERE lifetime IS NULL;
CREATE INDEX files_by_expiry ON files (kept_from + lifetime) WHERE lifetime IS NOT NULL;

-- Who needs a file that must not be removed: a batch, by its id.
CREATE TABLE file_holds (
  file_id TEXT NOT NULL,
  holder  TEXT NOT NULL,
  PRIMARY KEY (file_id, holder)
) WITHOUT ROWID;
