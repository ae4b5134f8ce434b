-- Earlier versions cannot read these columns from here on (src/store/thread/attempts.ts, placements.ts).
COMMENT ON COLUMN tasks.attempts IS 'JSON: a list; [1] is one attempt, with the start, the end and the GPU of the task';
COMMENT ON COLUMN tasks.placement IS 'JSON: a list; of tasks before 0.3.0 an object';
