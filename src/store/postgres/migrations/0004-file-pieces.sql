-- The bytes of files that clients have uploaded, in pieces of 1 MiB, which PostgreSQL neither packs nor unpacks.
CREATE TABLE file_pieces (
  name   text COLLATE "C" NOT NULL, -- the id of the file; of bytes on their way, another UUID
  number bigint NOT NULL,           -- from 0
  bytes  bytea NOT NULL,
  PRIMARY KEY (name, number)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE file_pieces ALTER COLUMN bytes SET STORAGE EXTERNAL;
