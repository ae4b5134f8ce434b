-- Of a task whose text was lost before 0.2.0: a copy of its SQLite file has it, too.
ALTER TABLE tasks ALTER COLUMN sampling DROP NOT NULL;
