-- One row, see log-mark.ts: 1 in the database file itself while something that belongs to it stands only in the log.
CREATE TABLE log_mark (
  is_in_log INTEGER NOT NULL
);
INSERT INTO log_mark VALUES (0);
