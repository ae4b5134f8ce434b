-- Each new task and each end of one wrote a page of it, or two. tasks_by_user has the same statuses, and its users are few (src/store/sqlite/users.ts).
DROP INDEX tasks_by_status;
