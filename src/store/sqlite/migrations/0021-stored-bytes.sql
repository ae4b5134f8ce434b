-- What the texts of each user's tasks take: requests by the bytes of their content, and all of the results; no request of a task whose texts
-- are not stored. Triggers keep it, so that nothing that writes or removes tasks can forget it. A user without tasks has no row.
CREATE TABLE stored_bytes (
  user  TEXT PRIMARY KEY NOT NULL,
  tasks INTEGER NOT NULL,
  bytes INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO stored_bytes
  SELECT
    user, count(*),
    sum(iif(coalesce(texts, '') IN ('never', 'removed'), 0, size) + coalesce(octet_length(result_text), 0)
      + coalesce(octet_length(logprobs), 0) + coalesce(octet_length(embeddings), 0))
  FROM tasks GROUP BY user;

CREATE TRIGGER stored_bytes_of_new AFTER INSERT ON tasks BEGIN
  INSERT INTO stored_bytes VALUES (
    NEW.user, 1,
    iif(coalesce(NEW.texts, '') IN ('never', 'removed'), 0, NEW.size) + coalesce(octet_length(NEW.result_text), 0)
      + coalesce(octet_length(NEW.logprobs), 0) + coalesce(octet_length(NEW.embeddings), 0)
  ) ON CONFLICT (user) DO UPDATE SET tasks = tasks + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER stored_bytes_of_changed AFTER UPDATE OF size, texts, result_text, logprobs, embeddings ON tasks
WHEN NEW.result_text IS NOT OLD.result_text OR NEW.texts IS NOT OLD.texts OR NEW.size <> OLD.size BEGIN
  UPDATE stored_bytes SET bytes = bytes
    + iif(coalesce(NEW.texts, '') IN ('never', 'removed'), 0, NEW.size)
    - iif(coalesce(OLD.texts, '') IN ('never', 'removed'), 0, OLD.size)
    + coalesce(octet_length(NEW.result_text), 0) - coalesce(octet_length(OLD.result_text), 0)
    + coalesce(octet_length(NEW.logprobs), 0) - coalesce(octet_length(OLD.logprobs), 0)
    + coalesce(octet_length(NEW.embeddings), 0) - coalesce(octet_length(OLD.embeddings), 0)
  WHERE user = NEW.user;
END;
CREATE TRIGGER stored_bytes_of_removed AFTER DELETE ON tasks BEGIN
  UPDATE stored_bytes SET tasks = tasks - 1, bytes = bytes
    - iif(coalesce(OLD.texts, '') IN ('never', 'removed'), 0, OLD.size) - coalesce(octet_length(OLD.result_text), 0)
    - coalesce(octet_length(OLD.logprobs), 0) - coalesce(octet_length(OLD.embeddings), 0)
  WHERE user = OLD.user;
  DELETE FROM stored_bytes WHERE user = OLD.user AND tasks = 0;
END;
