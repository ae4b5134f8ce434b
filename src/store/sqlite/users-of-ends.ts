/**
 * The table `users(name)` of a statement: who has tasks that have ended, and at last NULL. It jumps from user to user in the index, so that it costs
 * one look for each of them, however many tasks they have.
 */
export const USERS_OF_ENDS = `
  WITH RECURSIVE users(name) AS (
    SELECT min(user) FROM tasks INDEXED BY tasks_by_user_end WHERE finished_at IS NOT NULL
    UNION ALL
    SELECT (SELECT min(user) FROM tasks INDEXED BY tasks_by_user_end WHERE finished_at IS NOT NULL AND user > name)
      FROM users WHERE name IS NOT NULL)`;
