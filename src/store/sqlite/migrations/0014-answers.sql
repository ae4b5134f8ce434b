-- JSON: what a result has beside its text that is small: the calls of tools, and why the text is not of the form asked for; NULL: nothing.
ALTER TABLE tasks ADD COLUMN beside TEXT;
-- JSON: the tokens of the text with their probabilities (src/output.ts); NULL: they were not asked for.
ALTER TABLE tasks ADD COLUMN logprobs TEXT;
