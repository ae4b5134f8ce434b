-- For people who ask the database: what docs/postgres.md promises of them stays, whatever becomes of the tables. No text is in them.
CREATE VIEW tasks_view AS
  SELECT
    t.id, t."user", t.team, t.key_name, t.status, t.priority, t.task_type, t.strategy, t.batch_id, t.retry_of,
    t.model AS model_asked, t.ran_model AS model, t.gpu_id,
    json_array_length(t.attempts::json) AS attempts,
    to_timestamp(t.created_at / 1000) AS created_at,
    to_timestamp(t.started_at / 1000) AS started_at,
    to_timestamp(coalesce(t.finished_shown, t.finished_at) / 1000) AS finished_at,
    use.queued_seconds, t.execution_time AS execution_seconds,
    use.prompt_tokens, use.completion_tokens, use.cached_tokens, use.gpu_seconds, use.energy_joules,
    t.finish_reason, t.error_code
  FROM tasks AS t
  -- A list; of tasks before 0.2.0 an object.
  LEFT JOIN LATERAL (
    SELECT
      coalesce(u->>0, u->>'queued')::double precision AS queued_seconds,
      coalesce(u->>3, u->>'promptTokens')::bigint AS prompt_tokens,
      coalesce(u->>4, u->>'completionTokens')::bigint AS completion_tokens,
      coalesce(u->>5, u->>'cachedTokens')::bigint AS cached_tokens,
      coalesce(u->>6, u->>'gpuSeconds')::double precision AS gpu_seconds,
      coalesce(u->>7, u->>'energyJoules')::double precision AS energy_joules
    FROM (SELECT t.used::json AS u) AS parsed
  ) AS use ON true;

CREATE VIEW usage_view AS
  SELECT
    to_timestamp(hour * 3600) AS hour, "user", nullif(team, '') AS team, nullif(key_name, '') AS key_name,
    nullif(model, '') AS model, nullif(gpu_id, -1) AS gpu_id, completed, failed, canceled,
    prompt_tokens, completion_tokens, cached_tokens, gpu_seconds, energy_joules, queued_seconds
  FROM usage_hours;
