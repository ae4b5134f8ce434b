-- Where webhooks of a user go in vain. One that has arrived removes the row.
CREATE TABLE webhook_endpoints (
  "user"        text COLLATE "C" NOT NULL,
  origin        text COLLATE "C" NOT NULL,
  failing_since double precision NOT NULL, -- by the server's clock
  paused_at     double precision,          -- by the server's clock
  PRIMARY KEY ("user", origin)
);
