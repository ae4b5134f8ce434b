-- What the API that a task came by has to know of it later (TaskInput.note); most tasks have none.
CREATE TABLE notes (
  seq  INTEGER PRIMARY KEY,
  note TEXT NOT NULL
);
