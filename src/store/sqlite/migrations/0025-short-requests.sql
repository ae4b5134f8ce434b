-- A short request: most are, and so a task has one row. NULL: `requests` has it, as it has those of earlier versions, or it is not stored.
ALTER TABLE tasks ADD COLUMN request TEXT; -- JSON
