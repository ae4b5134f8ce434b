/** Many ended tasks in a schema of PostgreSQL, made by the database itself: a million in half a minute. */

export const START = 1.7e12;

const STATUSES = ["completed", "completed", "completed", "failed", "canceled"] as const;

/** What is made of the task with this `seq`, to filter by. */
export function madeOf(seq: number) {
  return {
    user: `user ${seq % 50}`,
    team: `team ${seq % 5}`,
    status: STATUSES[seq % 5],
    batchId: seq % 100 === 0 ? `batch ${Math.floor(seq / 10_000)}` : null,
    gpuId: seq % 8,
  };
}

/** @param count a multiple of 10,000 @param start when the first one began, in Unix milliseconds */
export function fillOf(count: number, start = START): string {
  return `
    INSERT INTO tasks (seq, id, "user", team, strategy, whole_batch, created_at, size, estimated_tokens, sampling, task_type, priority, status,
      batch_id, gpu_id, started_at, attempts, finished_at, result_text)
    SELECT n, 'task ' || n, 'user ' || n % 50, 'team ' || n % 5, 'least_loaded', 0, ${start} + n, 10, 10, '{}', 'text_generation', 'normal',
      (ARRAY[${STATUSES.map((status) => `'${status}'`).join()}])[1 + n % 5],
      CASE WHEN n % 100 = 0 THEN 'batch ' || n / 10000 END, n % 8, ${start} + n, '[]', ${start} + n, 'an answer'
    FROM generate_series(1, ${count}) AS n;
    INSERT INTO requests (seq, request) SELECT n, '{}' FROM generate_series(1, ${count}) AS n;
    INSERT INTO batches (id, "user", first_seq, size, whole, created_at, finished_at)
    SELECT 'batch ' || n, 'user 0', n, 1, 0, ${start}, ${start} FROM generate_series(0, ${count / 10_000}) AS n;
    INSERT INTO batch_files (id, "user", facts, ended_at) SELECT id, "user", '{}', ${start} FROM batches`;
}
