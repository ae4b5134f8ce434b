-- The same order of statuses by another name: no other index has it, so a list of an owner is read from the owner's own, whatever the planner
-- expects of statuses of which it has counted none (listing.ts).
DROP INDEX tasks_by_user;
DROP INDEX tasks_by_team;
CREATE INDEX tasks_by_user ON tasks ("user", status COLLATE "POSIX", seq);
CREATE INDEX tasks_by_team ON tasks (team, status COLLATE "POSIX", seq) WHERE team IS NOT NULL;
