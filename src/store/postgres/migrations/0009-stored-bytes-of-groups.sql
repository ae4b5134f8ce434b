-- Triggers for new and for ended tasks cost more than the rows themselves (src/store/postgres/stored-bytes.ts counts these). What removes a
-- task, or its texts, is still counted by triggers.
DROP TRIGGER stored_bytes_of_new ON tasks;
DROP FUNCTION stored_bytes_of_new();
DROP TRIGGER stored_bytes_of_changed ON tasks;
DROP FUNCTION stored_bytes_of_changed();
CREATE FUNCTION stored_bytes_of_gone_texts() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  UPDATE stored_bytes SET bytes = bytes
    + CASE WHEN coalesce(NEW.texts, '') IN ('never', 'removed') THEN 0 ELSE NEW.size END
    - CASE WHEN coalesce(OLD.texts, '') IN ('never', 'removed') THEN 0 ELSE OLD.size END
    + coalesce(octet_length(NEW.result_text), 0) - coalesce(octet_length(OLD.result_text), 0)
    + coalesce(octet_length(NEW.logprobs), 0) - coalesce(octet_length(OLD.logprobs), 0)
    + coalesce(octet_length(NEW.embeddings), 0) - coalesce(octet_length(OLD.embeddings), 0)
  WHERE "user" = NEW."user";
  RETURN NULL;
END $$;
CREATE TRIGGER stored_bytes_of_gone_texts AFTER UPDATE OF texts ON tasks
  FOR EACH ROW WHEN (NEW.texts IS DISTINCT FROM OLD.texts) EXECUTE FUNCTION stored_bytes_of_gone_texts();
