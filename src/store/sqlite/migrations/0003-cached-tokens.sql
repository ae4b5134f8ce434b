-- Of the prompt's tokens, those that were in the KV cache already; NULL: not told, or from before this column.
ALTER TABLE tasks ADD COLUMN cached_tokens INTEGER;
