/**
 * The table `users(name)` of a statement: who has tasks in an index that begins with the user, and at last NULL. It jumps from user to user, so that
 * it costs one look for each of them, however many tasks they have.
 */
function usersIn(index: string, condition: string): string {
  const first = `SELECT min(user) FROM tasks INDEXED BY ${index} WHERE ${condition}`;
  return `
  WITH RECURSIVE users(name) AS (
    ${first}
    UNION ALL
    SELECT (${first} AND user > name) FROM users WHERE name IS NOT NULL)`;
}

/** Those who have tasks. */
export const USERS = usersIn("tasks_by_user", "true");
/** Those who have tasks that have ended. */
export const USERS_OF_ENDS = usersIn("tasks_by_user_end", "finished_at IS NOT NULL");
