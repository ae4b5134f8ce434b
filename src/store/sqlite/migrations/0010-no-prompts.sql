-- Empty since the step before.
DROP TABLE prompts;
