-- JSON: says which prompts begin alike, without reading them; NULL: the prompt is short, or from before this column.
ALTER TABLE tasks ADD COLUMN prefix TEXT;
