-- Who did what to what. The number goes only up, so that rows that are missing leave a gap.
CREATE TABLE audit (
  number    INTEGER PRIMARY KEY AUTOINCREMENT,
  id        TEXT NOT NULL UNIQUE,
  at        INTEGER NOT NULL,
  kept_from INTEGER NOT NULL, -- by the server's clock
  way       TEXT NOT NULL,
  user      TEXT,
  key_name  TEXT,
  address   TEXT,
  action    TEXT NOT NULL,
  target    TEXT,
  outcome   TEXT NOT NULL,
  details   TEXT
);
-- A sweep removes rows; nothing changes one.
CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit
BEGIN
  SELECT RAISE(ABORT, 'rows of the audit log are never changed');
END;
