-- In steps, until this table is empty: prompts
-- One step: about 1,000 tasks, or about 8 MiB of their prompts.
CREATE TEMP TABLE step AS
  SELECT seq FROM (
    SELECT seq, bytes, sum(bytes) OVER (ORDER BY seq) AS bytes_until
    FROM (SELECT seq, octet_length(text) AS bytes FROM prompts ORDER BY seq LIMIT 1000))
  WHERE bytes_until - bytes < 8388608;

INSERT INTO requests (seq, request)
  SELECT
    seq,
    json_object('kind', 'completion', 'text', text,
      'sampling', json_object('maxTokens', size, 'temperature', estimated_tokens))
  FROM step JOIN prompts USING (seq) JOIN tasks USING (seq);

UPDATE tasks SET
    sampling = json_object('maxTokens', size, 'temperature', estimated_tokens),
    size = octet_length(text),
    estimated_tokens = (octet_length(text) + 3) / 4 + size
  FROM prompts
  WHERE tasks.seq IN (SELECT seq FROM step) AND prompts.seq = tasks.seq;

DELETE FROM prompts WHERE seq IN (SELECT seq FROM step);
DROP TABLE step;
