-- How long the task's texts are stored: 'until_read', 'never', or 'removed', when they have been read or are too old; NULL: like the task.
ALTER TABLE tasks ADD COLUMN texts TEXT;
-- Those that nobody has read yet.
CREATE INDEX tasks_unread ON tasks (finished_at) WHERE texts = 'until_read' AND finished_at IS NOT NULL;
-- Users may have a retention of their own.
CREATE INDEX tasks_by_user_end ON tasks (user, finished_at) WHERE finished_at IS NOT NULL;
