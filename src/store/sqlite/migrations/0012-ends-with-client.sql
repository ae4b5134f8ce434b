-- 1: the task is canceled when its client leaves, or the server does; NULL: it goes on.
ALTER TABLE tasks ADD COLUMN ends_with_client INTEGER;
