-- Each end of a task wrote a page of it. tasks_by_user_end has the same times, and its users are few (src/store/sqlite/users-of-ends.ts).
DROP INDEX tasks_by_end;
