-- Where webhooks of a user go in vain. One that has arrived removes the row.
CREATE TABLE webhook_endpoints (
  user          TEXT NOT NULL,
  origin        TEXT NOT NULL,
  failing_since INTEGER NOT NULL, -- by the server's clock
  paused_at     INTEGER,          -- by the server's clock
  PRIMARY KEY (user, origin)
) WITHOUT ROWID;
