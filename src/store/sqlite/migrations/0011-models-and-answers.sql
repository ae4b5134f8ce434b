-- The model that a task asks for, and the one that ran it; NULL: any, none.
ALTER TABLE tasks ADD COLUMN model TEXT;
ALTER TABLE tasks ADD COLUMN ran_model TEXT;
-- JSON: what it asks of a model; NULL: a text to continue with nothing special.
ALTER TABLE tasks ADD COLUMN needs TEXT;
-- Beside the text of a result: what the model wrote for itself, and vectors as a JSON list of base64.
ALTER TABLE tasks ADD COLUMN reasoning TEXT;
ALTER TABLE tasks ADD COLUMN embeddings TEXT;
