-- What a task asks, as one JSON value (src/request.ts). In a table of its own, because SQLite rewrites a whole row when one of its columns
-- changes.
CREATE TABLE requests (
  seq     INTEGER PRIMARY KEY,
  request TEXT NOT NULL
);
-- JSON: that of the request, for lists, which read no requests. NULL: the row has not been brought over yet.
ALTER TABLE tasks ADD COLUMN sampling TEXT;
-- The columns of the two numbers that `sampling` has now get other numbers: removing a column would write the whole table in one transaction.
ALTER TABLE tasks RENAME COLUMN max_length TO size;              -- bytes of the request's content in UTF-8
ALTER TABLE tasks RENAME COLUMN temperature TO estimated_tokens; -- may be larger than an exact integer
