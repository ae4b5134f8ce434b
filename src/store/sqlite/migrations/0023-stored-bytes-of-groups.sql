-- Triggers for new and for ended tasks cost more than the rows themselves (src/store/sqlite/stored-bytes.ts counts these). What removes a
-- task, or its texts, is still counted by triggers.
DROP TRIGGER stored_bytes_of_new;
DROP TRIGGER stored_bytes_of_changed;
CREATE TRIGGER stored_bytes_of_gone_texts AFTER UPDATE OF texts ON tasks
WHEN NEW.texts IS NOT OLD.texts BEGIN
  UPDATE stored_bytes SET bytes = bytes
    + iif(coalesce(NEW.texts, '') IN ('never', 'removed'), 0, NEW.size)
    - iif(coalesce(OLD.texts, '') IN ('never', 'removed'), 0, OLD.size)
    + coalesce(octet_length(NEW.result_text), 0) - coalesce(octet_length(OLD.result_text), 0)
    + coalesce(octet_length(NEW.logprobs), 0) - coalesce(octet_length(OLD.logprobs), 0)
    + coalesce(octet_length(NEW.embeddings), 0) - coalesce(octet_length(OLD.embeddings), 0)
  WHERE user = NEW.user;
END;
