-- The servers of a cluster: each renews its row every second. The one that leads is named by lease.holder.
CREATE TABLE servers (
  id       text PRIMARY KEY,     -- a UUID, new with each start
  url      text NOT NULL,        -- where other servers reach it
  secret   text NOT NULL,        -- by which it knows requests that other servers pass on
  version  text NOT NULL,        -- of ALT_LAS
  host     text NOT NULL,
  process  bigint NOT NULL,
  data_dir text NOT NULL,
  since    timestamptz NOT NULL,
  seen_at  timestamptz NOT NULL  -- by the clock of the database
);

-- Small files of a data directory that the next server to lead needs, too.
CREATE TABLE shared_files (
  name text PRIMARY KEY,
  body text NOT NULL
);
