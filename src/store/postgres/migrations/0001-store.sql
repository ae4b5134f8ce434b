-- Times are Unix milliseconds, and may have fractions: so they are double precision, which keeps each number of JavaScript as it is. JSON is
-- text: jsonb would keep neither its order nor U+0000. Whatever is compared is compared byte by byte, in whatever language the database is.
CREATE TABLE tasks (
  seq               bigint PRIMARY KEY,
  id                text COLLATE "C" NOT NULL,
  "user"            text COLLATE "C" NOT NULL,
  strategy          text NOT NULL,
  pinned_gpu_id     bigint,
  batch_id          text COLLATE "C",
  whole_batch       smallint NOT NULL,
  created_at        double precision NOT NULL,
  size              bigint NOT NULL,           -- bytes of the request's content in UTF-8
  estimated_tokens  double precision NOT NULL, -- may be larger than an exact integer
  sampling          text NOT NULL,             -- JSON
  task_type         text COLLATE "C" NOT NULL,
  priority          text NOT NULL,
  timeout_seconds   double precision,
  retry_of          text,
  webhook           text,                      -- JSON
  created_clock     double precision,          -- created_at by the server's clock; NULL: the same
  model             text COLLATE "C",
  key_name          text,
  team              text COLLATE "C",          -- of its user when it came
  texts             text,                      -- 'until_read', 'never' or 'removed'; NULL: kept like the task
  prefix            text,                      -- JSON
  needs             text,                      -- JSON
  status            text COLLATE "C" NOT NULL,
  gpu_id            bigint,
  started_at        double precision,
  attempts          text NOT NULL,             -- JSON
  placement         text,                      -- JSON
  ran_model         text COLLATE "C",
  used              text,                      -- JSON
  ends_with_client  smallint,
  finished_at       double precision,          -- by the server's clock
  finished_shown    double precision,          -- what is shown for it; NULL: the same
  result_text       text,
  reasoning         text,
  embeddings        text,                      -- JSON
  beside            text,                      -- JSON
  logprobs          text,                      -- JSON
  execution_time    double precision,          -- seconds
  result_timestamp  double precision,
  finish_reason     text,
  prompt_tokens     bigint,
  completion_tokens bigint,
  cached_tokens     bigint,
  error_code        text,
  error_sentence    text
-- Ended tasks are written twice and removed at last: room for the second row on the page of the first, and early vacuums.
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
CREATE UNIQUE INDEX tasks_by_id ON tasks (id);
CREATE INDEX tasks_by_user ON tasks ("user", status, seq);
CREATE INDEX tasks_by_team ON tasks (team, status, seq) WHERE team IS NOT NULL;
CREATE INDEX tasks_by_status ON tasks (status, seq);
CREATE INDEX tasks_by_batch ON tasks (batch_id, status) WHERE batch_id IS NOT NULL;
-- A sweep looks at what is due and at nothing else.
CREATE INDEX tasks_by_end ON tasks (finished_at) WHERE finished_at IS NOT NULL;

-- Those whose texts nobody has read yet.
CREATE INDEX tasks_unread ON tasks (finished_at) WHERE texts = 'until_read' AND finished_at IS NOT NULL;
-- Users may have a retention of their own.
CREATE INDEX tasks_by_user_end ON tasks ("user", finished_at) WHERE finished_at IS NOT NULL;

-- What the texts of each user's tasks take: requests by the bytes of their content, and all of the results; no request of a task whose texts
-- are not stored. Triggers keep it, once for each statement. A user without tasks has no row.
CREATE TABLE stored_bytes (
  "user" text COLLATE "C" PRIMARY KEY,
  tasks  bigint NOT NULL,
  bytes  bigint NOT NULL
);
CREATE FUNCTION stored_bytes_of_new() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO stored_bytes
    SELECT t."user", count(*), sum(CASE WHEN coalesce(t.texts, '') IN ('never', 'removed') THEN 0 ELSE t.size END
      + coalesce(octet_length(t.result_text), 0) + coalesce(octet_length(t.logprobs), 0) + coalesce(octet_length(t.embeddings), 0))
    FROM added AS t GROUP BY t."user"
    ON CONFLICT ("user") DO UPDATE SET tasks = stored_bytes.tasks + excluded.tasks, bytes = stored_bytes.bytes + excluded.bytes;
  RETURN NULL;
END $$;
CREATE TRIGGER stored_bytes_of_new AFTER INSERT ON tasks REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION stored_bytes_of_new();
CREATE FUNCTION stored_bytes_of_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  UPDATE stored_bytes SET bytes = stored_bytes.bytes + change.bytes FROM (
    SELECT n."user", sum((CASE WHEN coalesce(n.texts, '') IN ('never', 'removed') THEN 0 ELSE n.size END
      + coalesce(octet_length(n.result_text), 0) + coalesce(octet_length(n.logprobs), 0) + coalesce(octet_length(n.embeddings), 0))
      - (CASE WHEN coalesce(o.texts, '') IN ('never', 'removed') THEN 0 ELSE o.size END
      + coalesce(octet_length(o.result_text), 0) + coalesce(octet_length(o.logprobs), 0) + coalesce(octet_length(o.embeddings), 0))) AS bytes
    FROM now AS n JOIN was AS o ON n.seq = o.seq GROUP BY n."user") AS change
  WHERE stored_bytes."user" = change."user" AND change.bytes <> 0;
  RETURN NULL;
END $$;
CREATE TRIGGER stored_bytes_of_changed AFTER UPDATE ON tasks REFERENCING OLD TABLE AS was NEW TABLE AS now
  FOR EACH STATEMENT EXECUTE FUNCTION stored_bytes_of_changed();
CREATE FUNCTION stored_bytes_of_removed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  UPDATE stored_bytes SET tasks = stored_bytes.tasks - gone.tasks, bytes = stored_bytes.bytes - gone.bytes FROM (
    SELECT t."user", count(*) AS tasks, sum(CASE WHEN coalesce(t.texts, '') IN ('never', 'removed') THEN 0 ELSE t.size END
      + coalesce(octet_length(t.result_text), 0) + coalesce(octet_length(t.logprobs), 0) + coalesce(octet_length(t.embeddings), 0)) AS bytes
    FROM removed_tasks AS t GROUP BY t."user") AS gone
  WHERE stored_bytes."user" = gone."user";
  DELETE FROM stored_bytes WHERE tasks = 0;
  RETURN NULL;
END $$;
CREATE TRIGGER stored_bytes_of_removed AFTER DELETE ON tasks REFERENCING OLD TABLE AS removed_tasks
  FOR EACH STATEMENT EXECUTE FUNCTION stored_bytes_of_removed();

-- Apart from `tasks`, because a row is written anew when one of its columns changes.
CREATE TABLE requests (
  seq     bigint PRIMARY KEY,
  request text NOT NULL -- JSON
);

CREATE TABLE notes (
  seq  bigint PRIMARY KEY,
  note text NOT NULL
);

-- One row: numbers that are never given again, not even when the last row that had one has been removed.
CREATE TABLE removed (
  last_seq   bigint NOT NULL,
  last_audit bigint NOT NULL
);
INSERT INTO removed VALUES (0, 0);

CREATE TABLE batches (
  id          text COLLATE "C" PRIMARY KEY,
  "user"      text NOT NULL,
  first_seq   bigint NOT NULL,
  size        bigint NOT NULL,
  whole       smallint NOT NULL,
  webhook     text, -- JSON
  created_at  double precision NOT NULL,
  finished_at double precision,
  lines       text, -- JSON; NULL: its tasks came at once
  team        text
);
CREATE INDEX batches_unfinished ON batches (first_seq) WHERE finished_at IS NULL;

CREATE TABLE idempotency_keys (
  "user"      text COLLATE "C" NOT NULL,
  key         text COLLATE "C" NOT NULL,
  fingerprint text NOT NULL,
  answer      text NOT NULL, -- JSON
  created_at  double precision NOT NULL,
  PRIMARY KEY ("user", key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TABLE deliveries (
  number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id         text COLLATE "C" NOT NULL UNIQUE,
  subject    text COLLATE "C" NOT NULL, -- the id of a task or batch
  "user"     text COLLATE "C" NOT NULL,
  event      text NOT NULL,
  url        text NOT NULL,
  body       text NOT NULL,
  created_at double precision NOT NULL,
  status     text NOT NULL,
  next_at    double precision NOT NULL,
  attempts   text NOT NULL -- JSON
);
CREATE INDEX deliveries_by_subject ON deliveries (subject, created_at, number);
-- Each user's pending deliveries are read apart, so that thousands of one user hide none of another. Holds pending ones only.
CREATE INDEX deliveries_pending_by_user ON deliveries ("user", next_at, number) WHERE status = 'pending';

CREATE TABLE webhook_secrets (
  "user"         text COLLATE "C" PRIMARY KEY,
  secret         text NOT NULL,
  previous       text,
  previous_until double precision,
  created_at     double precision NOT NULL,
  shown          smallint NOT NULL
);

-- At most one row: where both clocks were when the server was last seen to run.
CREATE TABLE clock (
  number    smallint PRIMARY KEY CHECK (number = 1),
  now       double precision NOT NULL,
  wall      double precision NOT NULL,
  held_now  double precision,
  held_wall double precision
);

-- What tasks that ended in an hour have cost. Nothing that belongs to the key may be NULL: no two NULLs are equal.
CREATE TABLE usage_hours (
  hour              bigint NOT NULL,            -- of Unix time
  "user"            text COLLATE "C" NOT NULL,
  team              text COLLATE "C" NOT NULL,  -- '': none
  key_name          text COLLATE "C" NOT NULL,  -- '': none
  model             text COLLATE "C" NOT NULL,  -- '': none
  gpu_id            bigint NOT NULL,            -- -1: none
  completed         bigint NOT NULL,
  failed            bigint NOT NULL,
  canceled          bigint NOT NULL,
  prompt_tokens     bigint,                     -- NULL here and below: of no task known
  completion_tokens bigint NOT NULL,
  cached_tokens     bigint,
  gpu_seconds       double precision NOT NULL,
  energy_joules     double precision,
  queued_seconds    double precision NOT NULL,
  PRIMARY KEY (hour, "user", team, key_name, model, gpu_id)
);

-- Files that clients have uploaded; their bytes are in the folder `files` of the data directory.
CREATE TABLE files (
  id         text COLLATE "C" PRIMARY KEY,
  "user"     text COLLATE "C" NOT NULL,
  purpose    text COLLATE "C" NOT NULL,
  filename   text COLLATE "C" NOT NULL,
  bytes      bigint NOT NULL,
  sha256     text COLLATE "C" NOT NULL,
  created_at double precision NOT NULL,
  kept_from  double precision NOT NULL, -- by the server's clock
  lifetime   double precision,          -- milliseconds; NULL: as long as tasks
  team       text COLLATE "C"
);
-- By a hash of the name: a row of an index has to be short.
CREATE UNIQUE INDEX files_by_identity ON files ("user", sha256, purpose, hashtextextended(filename, 0));
CREATE INDEX files_by_time ON files (created_at, id);
CREATE INDEX files_by_user ON files ("user", created_at, id);
CREATE INDEX files_by_team ON files (team, created_at, id) WHERE team IS NOT NULL;
CREATE INDEX files_by_age ON files (kept_from) WHERE lifetime IS NULL;
CREATE INDEX files_by_expiry ON files ((kept_from + lifetime)) WHERE lifetime IS NOT NULL;

-- Who needs a file that must not be removed: a batch, by its id.
CREATE TABLE file_holds (
  file_id text COLLATE "C" NOT NULL,
  holder  text COLLATE "C" NOT NULL,
  PRIMARY KEY (file_id, holder)
);

-- Batches whose tasks come little by little from the lines of a file.
CREATE TABLE batch_files (
  number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id          text COLLATE "C" NOT NULL UNIQUE, -- of the batch as well
  "user"      text COLLATE "C" NOT NULL,
  output_file text COLLATE "C" UNIQUE,
  error_file  text COLLATE "C" UNIQUE,
  team        text COLLATE "C",
  facts       text NOT NULL,                    -- JSON
  ended_at    double precision                  -- by the server's clock
);
CREATE INDEX batch_files_by_user ON batch_files ("user", number);
CREATE INDEX batch_files_by_output ON batch_files ("user", output_file) WHERE output_file IS NOT NULL;
CREATE INDEX batch_files_by_errors ON batch_files ("user", error_file) WHERE error_file IS NOT NULL;
CREATE INDEX batch_files_by_team ON batch_files (team, number) WHERE team IS NOT NULL;
CREATE INDEX batch_files_by_team_output ON batch_files (team, output_file) WHERE team IS NOT NULL AND output_file IS NOT NULL;
CREATE INDEX batch_files_by_team_errors ON batch_files (team, error_file) WHERE team IS NOT NULL AND error_file IS NOT NULL;
CREATE INDEX batch_files_unfinished ON batch_files (number) WHERE ended_at IS NULL;
CREATE INDEX batch_files_by_end ON batch_files (ended_at) WHERE ended_at IS NOT NULL;

-- The lines of files that became no tasks, by the numbers that these would have.
CREATE TABLE refused_lines (
  seq       bigint PRIMARY KEY,
  custom_id text,
  failure   text NOT NULL -- JSON
);

-- Who did what to what. The numbers have no gaps, so that rows that are missing leave one.
CREATE TABLE audit (
  number    bigint PRIMARY KEY,
  id        text COLLATE "C" NOT NULL UNIQUE,
  at        double precision NOT NULL,
  kept_from double precision NOT NULL, -- by the server's clock
  way       text NOT NULL,
  "user"    text COLLATE "C",
  key_name  text,
  address   text,
  action    text COLLATE "C" NOT NULL,
  target    text COLLATE "C",
  outcome   text NOT NULL,
  details   text
);
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'rows of the audit log are never changed'; END $$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit
  FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();

-- One row: the server that uses this database, as it names itself, and until when, by this database's clock. It renews that each second.
CREATE TABLE lease (
  one        boolean PRIMARY KEY DEFAULT true CHECK (one),
  holder     text NOT NULL,        -- a UUID, new with each start
  host       text NOT NULL,
  process    bigint NOT NULL,
  data_dir   text NOT NULL,
  since      timestamptz NOT NULL,
  expires_at timestamptz NOT NULL
);

-- One row: raised by each take-over. Each transaction that writes holds it with FOR SHARE, and only with its own epoch.
CREATE TABLE epoch (
  number bigint NOT NULL
);
INSERT INTO epoch VALUES (0);

-- A row for each transaction that wrote: after a connection was lost in the middle of its commit, this says whether it was committed.
CREATE TABLE commits (
  epoch  bigint NOT NULL,
  number bigint NOT NULL,
  PRIMARY KEY (epoch, number)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
