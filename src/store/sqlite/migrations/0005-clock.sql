-- Times that are shown are the wall clock's; what is kept for a while is kept by the server's clock (src/common/clock.ts). Of older rows the
-- two are the same. From here on `finished_at` is the server's clock, because the sweep's index is on it.
ALTER TABLE tasks ADD COLUMN created_clock INTEGER;  -- created_at by the server's clock; NULL: the same
ALTER TABLE tasks ADD COLUMN finished_shown INTEGER; -- what is shown for finished_at; NULL: the same

-- At most one row: where both clocks were when the server was last seen to run. `held_*`: the last time before a start whose wall
-- clock could not be believed, while that is not settled.
CREATE TABLE clock (
  number    INTEGER PRIMARY KEY CHECK (number = 1),
  now       INTEGER NOT NULL,
  wall      INTEGER NOT NULL,
  held_now  INTEGER,
  held_wall INTEGER
);
