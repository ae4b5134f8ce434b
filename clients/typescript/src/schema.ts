/* made by tools/client-types.ts of schemas.json b2a32ad16d45b86bf7c5fef3fdbbe473c00dc6b912e19b8d9eae5b4859fbd4d6 */

/**
 * What the server says is wrong.
 */
export type ErrorCode =
  | "invalid_input"
  | "model_not_found"
  | "unsupported"
  | "malformed_json"
  | "unauthorized"
  | "forbidden"
  | "not_found"
  | "text_gone"
  | "method_not_allowed"
  | "request_timeout"
  | "conflict"
  | "body_too_large"
  | "unsupported_media_type"
  | "expectation_failed"
  | "rate_limited"
  | "budget_exceeded"
  | "headers_too_large"
  | "internal_error"
  | "queue_full"
  | "overloaded"
  | "files_full"
  | "draining"
  | "not_ready"
  | "no_usable_gpu"
  | "issuer_unavailable"
  | "store_unavailable"
  | "bad_config"
  | "gpu_lost"
  | "worker_crash"
  | "poison"
  | "timeout"
  | "out_of_memory"
  | "model_fetch_failed"
  | "model_error"
  | "model_too_large"
  | "prompt_too_long";
export type BatchItem =
  | {
      /**
       * The text to process: not empty, at most 1048576 bytes in UTF-8. Exactly one of text, messages and input must be given.
       */
      text?: string | null;
      /**
       * In the place of text: a conversation, which the model's own chat template makes a prompt of. One message at least is the user's; at most 1048576 bytes in UTF-8 in all.
       */
      messages?:
        | {
            role: "system" | "user" | "assistant" | "tool";
            /**
             * A string, or a list of parts, `{"type": "text", "text": "…"}`, which are joined by line breaks. Of an assistant it may be null or left out.
             */
            content?:
              | string
              | {
                  type: string;
                  text?: string | null;
                }[]
              | null;
            /**
             * Of an assistant: the calls that it has made, as `tool_calls` of a result has them.
             */
            tool_calls?:
              | {
                  id: string;
                  type?: "function" | null;
                  function: {
                    name: string;
                    /**
                     * JSON.
                     */
                    arguments: string;
                  };
                }[]
              | null;
            /**
             * Of a tool's message: the id of the call that it answers; without it, the first call that none has answered yet, of the tool that `name` says.
             */
            tool_call_id?: string | null;
            /**
             * Of a tool's message: the tool's name; of others it means nothing.
             */
            name?: string | null;
          }[]
        | null;
      /**
       * In the place of text: what to make vectors of, at most 1048576 bytes in UTF-8 in all. The result has them as embeddings, in their order.
       */
      input?: string | string[] | null;
      /**
       * Of text alone. true: it is continued as it is. false: it is one user's message where the model has a chat template. Without it, engine.raw of the configuration.
       */
      raw?: boolean | null;
      /**
       * The name of the model that is to run it; without it, any of those for the task_type.
       */
      model?: string | null;
      /**
       * Tokens to generate at most.
       */
      max_length?: number | null;
      /**
       * 0 is greedy.
       */
      temperature?: number | null;
      /**
       * Only the likeliest tokens that have this much of the probability together; 1: all. Without it, 0.95.
       */
      top_p?: number | null;
      /**
       * Only so many of the likeliest tokens; 0: all. Without it, 40.
       */
      top_k?: number | null;
      /**
       * Only tokens with at least this share of the likeliest one's probability; 0: all. Without it, 0.05.
       */
      min_p?: number | null;
      /**
       * The same one gives the same text again on the same engine. Without it, one is drawn and shown.
       */
      seed?: number | null;
      /**
       * Taken off the logit of each token that the answer has already.
       */
      presence_penalty?: number | null;
      /**
       * Taken off as often as the answer has the token.
       */
      frequency_penalty?: number | null;
      /**
       * By a token's number: added to its logit. -100 forbids it.
       */
      logit_bias?: {
        [k: string]: number;
      } | null;
      /**
       * The answer ends before the first of these, which is not part of it: one, or up to 16, each at most 256 bytes.
       */
      stop?: string | string[] | null;
      /**
       * The form of the text, unless it is cut off: `{"type": "text"}`; `{"type": "json_object"}`: an object in JSON; `{"type": "json_schema", "json_schema": {"schema": …, "strict": …}}`: JSON that matches the schema. Under `strict: true` what cannot be made sure of is refused; else the answer is checked, and `result.mismatch` says what does not match.
       */
      response_format?: {
        type: "text" | "json_object" | "json_schema";
        json_schema?: {
          name?: string | null;
          /**
           * What it is for; the model reads it.
           */
          description?: string | null;
          /**
           * What the text has to be, as JSON Schema says it.
           */
          schema: {} | boolean;
          /**
           * Whether what cannot be made sure of is refused.
           */
          strict?: boolean | null;
        } | null;
      } | null;
      /**
       * Functions of the caller's that the model may ask for, at most 128, each with a name of its own; the result has `tool_calls` then.
       */
      tools?:
        | {
            /**
             * function.
             */
            type?: string | null;
            function?: {
              name: string;
              /**
               * What it is for; the model reads it.
               */
              description?: string | null;
              /**
               * A JSON schema of the arguments; without it, there are none.
               */
              parameters?: {} | null;
              /**
               * Whether what cannot be made sure of is refused.
               */
              strict?: boolean | null;
            } | null;
          }[]
        | null;
      /**
       * auto: the model decides whether it calls tools; none: it calls none, and is told of none; required: it calls one at least; or the one that it calls. Without it, auto.
       */
      tool_choice?:
        | ("none" | "auto" | "required")
        | {
            type?: "function";
            function: {
              name: string;
            };
          }
        | null;
      /**
       * Whether an answer may have several calls. Without it, true.
       */
      parallel_tool_calls?: boolean | null;
      /**
       * The result has the tokens of the text with their probabilities, and so many of the likeliest in the place of each: 0 to 20.
       */
      logprobs?: number | null;
      /**
       * The strategy task_specific looks it up; at most 256 bytes.
       */
      task_type?: string | null;
      /**
       * Among the caller's own tasks.
       */
      priority?: "high" | "normal" | "low" | null;
      /**
       * false: prompt and answer are never on disk, only in memory until the answer was read; see docs/privacy.md. true, as without it: as the server is configured.
       */
      store?: boolean | null;
      /**
       * Seconds from the submission after which the task fails; without it, it may take any time.
       */
      timeout_seconds?: number | null;
    }
  | string;
/**
 * A task of a batch that has ended, with its position in the batch.
 */
export type BatchResult = Task & {
  index: number;
};

export interface PredictRequest {
  /**
   * The text to process: not empty, at most 1048576 bytes in UTF-8. Exactly one of text, messages and input must be given.
   */
  text?: string | null;
  /**
   * In the place of text: a conversation, which the model's own chat template makes a prompt of. One message at least is the user's; at most 1048576 bytes in UTF-8 in all.
   */
  messages?:
    | {
        role: "system" | "user" | "assistant" | "tool";
        /**
         * A string, or a list of parts, `{"type": "text", "text": "…"}`, which are joined by line breaks. Of an assistant it may be null or left out.
         */
        content?:
          | string
          | {
              type: string;
              text?: string | null;
            }[]
          | null;
        /**
         * Of an assistant: the calls that it has made, as `tool_calls` of a result has them.
         */
        tool_calls?:
          | {
              id: string;
              type?: "function" | null;
              function: {
                name: string;
                /**
                 * JSON.
                 */
                arguments: string;
              };
            }[]
          | null;
        /**
         * Of a tool's message: the id of the call that it answers; without it, the first call that none has answered yet, of the tool that `name` says.
         */
        tool_call_id?: string | null;
        /**
         * Of a tool's message: the tool's name; of others it means nothing.
         */
        name?: string | null;
      }[]
    | null;
  /**
   * In the place of text: what to make vectors of, at most 1048576 bytes in UTF-8 in all. The result has them as embeddings, in their order.
   */
  input?: string | string[] | null;
  /**
   * Of text alone. true: it is continued as it is. false: it is one user's message where the model has a chat template. Without it, engine.raw of the configuration.
   */
  raw?: boolean | null;
  /**
   * The name of the model that is to run it; without it, any of those for the task_type.
   */
  model?: string | null;
  /**
   * Tokens to generate at most.
   */
  max_length?: number | null;
  /**
   * 0 is greedy.
   */
  temperature?: number | null;
  /**
   * Only the likeliest tokens that have this much of the probability together; 1: all. Without it, 0.95.
   */
  top_p?: number | null;
  /**
   * Only so many of the likeliest tokens; 0: all. Without it, 40.
   */
  top_k?: number | null;
  /**
   * Only tokens with at least this share of the likeliest one's probability; 0: all. Without it, 0.05.
   */
  min_p?: number | null;
  /**
   * The same one gives the same text again on the same engine. Without it, one is drawn and shown.
   */
  seed?: number | null;
  /**
   * Taken off the logit of each token that the answer has already.
   */
  presence_penalty?: number | null;
  /**
   * Taken off as often as the answer has the token.
   */
  frequency_penalty?: number | null;
  /**
   * By a token's number: added to its logit. -100 forbids it.
   */
  logit_bias?: {
    [k: string]: number;
  } | null;
  /**
   * The answer ends before the first of these, which is not part of it: one, or up to 16, each at most 256 bytes.
   */
  stop?: string | string[] | null;
  /**
   * The form of the text, unless it is cut off: `{"type": "text"}`; `{"type": "json_object"}`: an object in JSON; `{"type": "json_schema", "json_schema": {"schema": …, "strict": …}}`: JSON that matches the schema. Under `strict: true` what cannot be made sure of is refused; else the answer is checked, and `result.mismatch` says what does not match.
   */
  response_format?: {
    type: "text" | "json_object" | "json_schema";
    json_schema?: {
      name?: string | null;
      /**
       * What it is for; the model reads it.
       */
      description?: string | null;
      /**
       * What the text has to be, as JSON Schema says it.
       */
      schema: {} | boolean;
      /**
       * Whether what cannot be made sure of is refused.
       */
      strict?: boolean | null;
    } | null;
  } | null;
  /**
   * Functions of the caller's that the model may ask for, at most 128, each with a name of its own; the result has `tool_calls` then.
   */
  tools?:
    | {
        /**
         * function.
         */
        type?: string | null;
        function?: {
          name: string;
          /**
           * What it is for; the model reads it.
           */
          description?: string | null;
          /**
           * A JSON schema of the arguments; without it, there are none.
           */
          parameters?: {} | null;
          /**
           * Whether what cannot be made sure of is refused.
           */
          strict?: boolean | null;
        } | null;
      }[]
    | null;
  /**
   * auto: the model decides whether it calls tools; none: it calls none, and is told of none; required: it calls one at least; or the one that it calls. Without it, auto.
   */
  tool_choice?:
    | ("none" | "auto" | "required")
    | {
        type?: "function";
        function: {
          name: string;
        };
      }
    | null;
  /**
   * Whether an answer may have several calls. Without it, true.
   */
  parallel_tool_calls?: boolean | null;
  /**
   * The result has the tokens of the text with their probabilities, and so many of the likeliest in the place of each: 0 to 20.
   */
  logprobs?: number | null;
  /**
   * The strategy task_specific looks it up; at most 256 bytes.
   */
  task_type?: string | null;
  /**
   * Among the caller's own tasks.
   */
  priority?: "high" | "normal" | "low" | null;
  /**
   * false: prompt and answer are never on disk, only in memory until the answer was read; see docs/privacy.md. true, as without it: as the server is configured.
   */
  store?: boolean | null;
  /**
   * Seconds from the submission after which the task fails; without it, it may take any time.
   */
  timeout_seconds?: number | null;
  /**
   * How to choose the GPU. batch_split means nothing for one task.
   */
  gpu_options?: {
    /**
     * How a GPU is chosen.
     */
    strategy?: "round_robin" | "least_loaded" | "memory_optimized" | "task_specific" | "random" | null;
    /**
     * Spread a batch over several GPUs.
     */
    batch_split?: boolean | null;
    /**
     * The task runs on this GPU or nowhere; the strategy is not asked.
     */
    specific_gpu_id?: number | null;
  } | null;
  /**
   * Where to send events: an http or https address.
   */
  webhook_url?: string | null;
  /**
   * Which events to send to webhook_url; without it, the three final ones.
   */
  webhook_events?: ("task.running" | "task.completed" | "task.failed" | "task.canceled")[] | null;
}
export interface BatchRequest {
  /**
   * The texts, conversations and inputs; either all of them are accepted or none.
   */
  batch: BatchItem[];
  /**
   * For items that do not say otherwise. Of text alone. true: it is continued as it is. false: it is one user's message where the model has a chat template. Without it, engine.raw of the configuration.
   */
  raw?: boolean | null;
  /**
   * For items that do not say otherwise. The name of the model that is to run it; without it, any of those for the task_type.
   */
  model?: string | null;
  /**
   * For items that do not say otherwise. Tokens to generate at most.
   */
  max_length?: number | null;
  /**
   * For items that do not say otherwise. 0 is greedy.
   */
  temperature?: number | null;
  /**
   * For items that do not say otherwise. Only the likeliest tokens that have this much of the probability together; 1: all. Without it, 0.95.
   */
  top_p?: number | null;
  /**
   * For items that do not say otherwise. Only so many of the likeliest tokens; 0: all. Without it, 40.
   */
  top_k?: number | null;
  /**
   * For items that do not say otherwise. Only tokens with at least this share of the likeliest one's probability; 0: all. Without it, 0.05.
   */
  min_p?: number | null;
  /**
   * For items that do not say otherwise. The same one gives the same text again on the same engine. Without it, one is drawn and shown.
   */
  seed?: number | null;
  /**
   * For items that do not say otherwise. Taken off the logit of each token that the answer has already.
   */
  presence_penalty?: number | null;
  /**
   * For items that do not say otherwise. Taken off as often as the answer has the token.
   */
  frequency_penalty?: number | null;
  /**
   * For items that do not say otherwise. By a token's number: added to its logit. -100 forbids it.
   */
  logit_bias?: {
    [k: string]: number;
  } | null;
  /**
   * For items that do not say otherwise. The answer ends before the first of these, which is not part of it: one, or up to 16, each at most 256 bytes.
   */
  stop?: string | string[] | null;
  /**
   * For items that do not say otherwise. The form of the text, unless it is cut off: `{"type": "text"}`; `{"type": "json_object"}`: an object in JSON; `{"type": "json_schema", "json_schema": {"schema": …, "strict": …}}`: JSON that matches the schema. Under `strict: true` what cannot be made sure of is refused; else the answer is checked, and `result.mismatch` says what does not match.
   */
  response_format?: {
    type: "text" | "json_object" | "json_schema";
    json_schema?: {
      name?: string | null;
      /**
       * What it is for; the model reads it.
       */
      description?: string | null;
      /**
       * What the text has to be, as JSON Schema says it.
       */
      schema: {} | boolean;
      /**
       * Whether what cannot be made sure of is refused.
       */
      strict?: boolean | null;
    } | null;
  } | null;
  /**
   * For items that do not say otherwise. Functions of the caller's that the model may ask for, at most 128, each with a name of its own; the result has `tool_calls` then.
   */
  tools?:
    | {
        /**
         * function.
         */
        type?: string | null;
        function?: {
          name: string;
          /**
           * What it is for; the model reads it.
           */
          description?: string | null;
          /**
           * A JSON schema of the arguments; without it, there are none.
           */
          parameters?: {} | null;
          /**
           * Whether what cannot be made sure of is refused.
           */
          strict?: boolean | null;
        } | null;
      }[]
    | null;
  /**
   * For items that do not say otherwise. auto: the model decides whether it calls tools; none: it calls none, and is told of none; required: it calls one at least; or the one that it calls. Without it, auto.
   */
  tool_choice?:
    | ("none" | "auto" | "required")
    | {
        type?: "function";
        function: {
          name: string;
        };
      }
    | null;
  /**
   * For items that do not say otherwise. Whether an answer may have several calls. Without it, true.
   */
  parallel_tool_calls?: boolean | null;
  /**
   * For items that do not say otherwise. The result has the tokens of the text with their probabilities, and so many of the likeliest in the place of each: 0 to 20.
   */
  logprobs?: number | null;
  /**
   * For items that do not say otherwise. The strategy task_specific looks it up; at most 256 bytes.
   */
  task_type?: string | null;
  /**
   * For items that do not say otherwise. Among the caller's own tasks.
   */
  priority?: "high" | "normal" | "low" | null;
  /**
   * For items that do not say otherwise. false: prompt and answer are never on disk, only in memory until the answer was read; see docs/privacy.md. true, as without it: as the server is configured.
   */
  store?: boolean | null;
  /**
   * For items that do not say otherwise. Seconds from the submission after which the task fails; without it, it may take any time.
   */
  timeout_seconds?: number | null;
  /**
   * How to choose GPUs.
   */
  gpu_options?: {
    /**
     * How a GPU is chosen.
     */
    strategy?: "round_robin" | "least_loaded" | "memory_optimized" | "task_specific" | "random" | null;
    /**
     * Spread a batch over several GPUs.
     */
    batch_split?: boolean | null;
  } | null;
  /**
   * Where to send events: an http or https address.
   */
  webhook_url?: string | null;
  /**
   * Which events to send to webhook_url; without it, batch.completed.
   */
  webhook_events?: ("task.running" | "task.completed" | "task.failed" | "task.canceled" | "batch.completed")[] | null;
}
/**
 * The counts at the moment when the batch was accepted.
 */
export interface SubmittedBatch {
  status: "running" | "queued" | "mixed" | "all_distributed" | "all_queued";
  /**
   * In the order of the items.
   */
  tasks: TaskSummary[];
  batch_id: string | null;
}
export interface TaskSummary {
  task_id: string;
  /**
   * The GPU that runs it or alone may run it; null: none is bound yet.
   */
  gpu_id: number | null;
  status: "queued" | "running" | "completed" | "failed" | "canceled";
}
export interface Task {
  task_id: string;
  /**
   * The GPU that runs it, ran it, or alone may run it; null: none yet.
   */
  gpu_id: number | null;
  status: "queued" | "running" | "completed" | "failed" | "canceled";
  /**
   * The user it belongs to.
   */
  user: string;
  /**
   * What was asked: fields as those of POST /predict; only with ?include=text.
   */
  request?: {
    text?: string;
    raw?: boolean;
    messages?: {
      role: "system" | "user" | "assistant" | "tool";
      content: string;
      tool_calls?: {
        id: string;
        type: "function";
        function: {
          name: string;
          /**
           * As the model wrote them: JSON, unless it was cut off or made a mistake.
           */
          arguments: string;
        };
      }[];
      tool_call_id?: string;
      name?: string;
    }[];
    /**
     * As in POST /predict.
     */
    response_format?: {
      [k: string]: unknown;
    };
    /**
     * As in POST /predict.
     */
    tools?: {
      [k: string]: unknown;
    };
    /**
     * As in POST /predict.
     */
    tool_choice?: {
      [k: string]: unknown;
    };
    parallel_tool_calls?: boolean;
    logprobs?: number;
    /**
     * Items: A text, or the numbers of its tokens.
     */
    input?: {
      [k: string]: unknown;
    }[];
    /**
     * null: to the end of the context.
     */
    max_length?: number | null;
    temperature?: number;
    top_p?: number;
    top_k?: number;
    min_p?: number;
    /**
     * The one that was given, else the one that was drawn.
     */
    seed?: number;
    presence_penalty?: number;
    frequency_penalty?: number;
    logit_bias?: {
      [k: string]: number;
    };
    stop?: string[];
  };
  /**
   * Of a completed task; also of one that was canceled or late while it ran.
   */
  result?: {
    /**
     * The generated text alone, without the prompt.
     */
    text: string;
    /**
     * What the model wrote for itself before the text.
     */
    reasoning?: string;
    /**
     * The tools that the model asks for.
     */
    tool_calls?: {
      id: string;
      type: "function";
      function: {
        name: string;
        /**
         * As the model wrote them: JSON, unless it was cut off or made a mistake.
         */
        arguments: string;
      };
    }[];
    /**
     * The tokens of the text with their probabilities; not in GET /tasks.
     */
    logprobs?: {
      /**
       * What it stands for; bytes that are no whole character are shown as U+FFFD.
       */
      token: string;
      /**
       * The natural logarithm of its probability.
       */
      logprob: number;
      /**
       * Of what it stands for, in UTF-8.
       */
      bytes: number[];
      /**
       * The likeliest tokens in its place.
       */
      top_logprobs: {
        /**
         * What it stands for; bytes that are no whole character are shown as U+FFFD.
         */
        token: string;
        /**
         * The natural logarithm of its probability.
         */
        logprob: number;
        /**
         * Of what it stands for, in UTF-8.
         */
        bytes: number[];
      }[];
    }[];
    /**
     * Why the text is not of the form that was asked for; absent: it is, or none was.
     */
    mismatch?: string;
    /**
     * The unit vectors of the inputs, in their order; not in GET /tasks, nor sent to webhooks.
     */
    embeddings?: number[][];
    /**
     * Seconds from the start on the GPU to the last token.
     */
    execution_time: number;
    /**
     * When the last token was generated.
     */
    timestamp: string;
    /**
     * Why generation ended; canceled and timeout: the text is what there was until then.
     */
    finish_reason: "stop" | "length" | "canceled" | "timeout";
    usage: {
      /**
       * null: the server behind the GPU did not tell.
       */
      prompt_tokens: number | null;
      completion_tokens: number;
      /**
       * Of prompt_tokens, those that the GPU's KV cache held already; null: not told.
       */
      cached_tokens: number | null;
    };
    /**
     * The same one gives the same text again on the same engine.
     */
    seed?: number;
  };
  /**
   * What it has cost so far, all attempts together, however they ended: so prompt_tokens may be more than those of the result. Absent until it has run.
   */
  usage?: {
    /**
     * null: the server behind the GPU did not tell.
     */
    prompt_tokens: number | null;
    completion_tokens: number;
    /**
     * Of prompt_tokens, those that the GPU's KV cache held already; null: not told.
     */
    cached_tokens: number | null;
    /**
     * Its share of the time of the model that ran it. The time of each step is shared by the tokens that the tasks there got in it; tokens of a prompt count in the step in which it begins. Where none got a token, all share alike. null: an earlier version ran it.
     */
    gpu_seconds: number | null;
    /**
     * The same share of what the card took meanwhile, which several busy models on it share alike; null: nobody measures its power.
     */
    energy_joules: number | null;
  };
  /**
   * Seconds; null: it has not come so far, or an earlier version ran it.
   */
  timing: {
    /**
     * From the submission to the start of the last attempt. While it waits: so far. If it ended while it waited: to its end.
     */
    queued: number;
    /**
     * From the start of the last attempt to its first output: reading the prompt.
     */
    prompt: number | null;
    /**
     * From the submission to that first output: what a user sees as the time to the first token.
     */
    first_token: number | null;
    /**
     * From the first output to the last. While it runs: so far.
     */
    generation: number | null;
  };
  /**
   * Why it failed, as a sentence.
   */
  error?: string;
  /**
   * A stable name for the kind of failure.
   */
  error_code?: string;
  /**
   * When it was submitted.
   */
  created_at: string;
  /**
   * When it last started on a GPU; null: it waits.
   */
  started_at: string | null;
  /**
   * When it reached its final status.
   */
  finished_at: string | null;
  strategy: "round_robin" | "least_loaded" | "memory_optimized" | "task_specific" | "random";
  task_type: string;
  /**
   * The model that runs it or ran it; until then, the one that it asks for, if it does.
   */
  model?: string;
  /**
   * embedding: it makes vectors, and has no sampling. Absent: it generates a text.
   */
  kind?: "embedding";
  /**
   * null: to the end of the context.
   */
  max_length?: number | null;
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  /**
   * The one that was given, else the one that was drawn.
   */
  seed?: number;
  presence_penalty?: number;
  frequency_penalty?: number;
  logit_bias?: {
    [k: string]: number;
  };
  stop?: string[];
  priority: "high" | "normal" | "low";
  /**
   * null: it may take any time.
   */
  timeout_seconds: number | null;
  /**
   * When it fails unless it has ended; null: never.
   */
  deadline_at: string | null;
  batch_id?: string;
  /**
   * The task it was made from by a retry.
   */
  retry_of?: string;
  /**
   * Where this task's events are sent.
   */
  webhook_url?: string;
  /**
   * Each time it was given to a GPU, the first one first.
   */
  attempts: {
    gpu_id: number;
    /**
     * When the GPU got the task.
     */
    started_at: string;
    /**
     * null: it runs there now.
     */
    ended_at: string | null;
    /**
     * Why it ended.
     */
    reason: string | null;
    /**
     * Of a worker_crash: nothing else ran on the worker. Absent when something did.
     */
    alone?: boolean;
    /**
     * Details of the end, such as a server's own words.
     */
    error?: string;
    /**
     * Attempts before this one that found servers full, and are not listed.
     */
    unlisted?: number;
  }[];
  /**
   * How long its texts are stored, where that is not as long as the task: see docs/privacy.md.
   */
  texts?: "until_read" | "never" | "removed";
  /**
   * Why it has no text any more. The texts of a list are no such.
   */
  text_gone?: string;
  /**
   * Why the task is where it is; absent until a GPU was chosen.
   */
  placement?: {
    strategy: "round_robin" | "least_loaded" | "memory_optimized" | "task_specific" | "random" | "pinned" | "batch";
    gpu_id: number;
    /**
     * Why this GPU, in one sentence.
     */
    reason: string;
    /**
     * The winner first, then at most seven others.
     */
    candidates: {
      gpu_id: number;
      /**
       * The figure that the strategy compared.
       */
      score: number | null;
    }[];
    /**
     * GPUs not listed above, counted by why.
     */
    others: {
      [k: string]: number;
    };
    /**
     * Tokens that its answer was counted at: the mean of its user's with that model, else its bound.
     */
    expected_tokens?: number;
  };
  /**
   * Why it waits; only of a task that waits, and not in lists.
   */
  waiting?: {
    /**
     * gpu_busy: all slots are taken; gpu_drained: an operator took its GPUs out; gpu_not_ready: they take nothing now; caller_limit: its user has as many tasks running as it may; model_loading: its model is being fetched or loaded, or waits for memory; retry_pause: it was cut off, and is tried again soon; batch_waits: its batch runs on one GPU, which has no room; quarantine: a worker failed under it, so it runs alone.
     */
    reason:
      | "gpu_busy"
      | "gpu_drained"
      | "gpu_not_ready"
      | "caller_limit"
      | "model_loading"
      | "retry_pause"
      | "batch_waits"
      | "quarantine";
    /**
     * The same in words, with models and GPUs.
     */
    sentence: string;
    /**
     * When this wait began.
     */
    since: string;
    /**
     * Tasks of the same user that ask the same and come before it.
     */
    ahead: number;
  };
}
export interface TaskFilter {
  /**
   * Only tasks with this status.
   */
  status?: "queued" | "running" | "completed" | "failed" | "canceled";
  /**
   * Tasks to return at most.
   */
  limit?: number;
  /**
   * Tasks to skip, newest first.
   */
  offset?: number;
  /**
   * The `next` of another answer: only what follows there. Unlike offset, new tasks do not shift it.
   */
  after?: string;
  /**
   * Only this user's tasks. A `user` may name itself alone.
   */
  user?: string;
  /**
   * Only tasks of this batch.
   */
  batch_id?: string;
  /**
   * Only tasks of this type; at most 256 bytes.
   */
  task_type?: string;
  /**
   * Only tasks that this GPU runs, ran, or alone may run.
   */
  gpu_id?: number;
  /**
   * Only tasks that show this model: that it runs or ran, or while they wait, that ask for it.
   */
  model?: string;
  /**
   * Only tasks submitted at this time or later: ISO 8601 with zone. In a URL, + is written %2B.
   */
  since?: string;
  /**
   * Only tasks submitted before this time, as since.
   */
  until?: string;
}
/**
 * Success
 */
export interface TaskList {
  /**
   * From task id to task, newest first.
   */
  tasks: {
    [k: string]: Task;
  };
  /**
   * Tasks that match, whatever limit, offset and after say.
   */
  total: number;
  /**
   * The value of after for the next page; null: this was the last one.
   */
  next: string | null;
}
/**
 * Success
 */
export interface StreamTicket {
  ticket: string;
  /**
   * When it is too late to open the stream by it for the first time.
   */
  expires_at: string;
}
export interface Batch {
  batch_id: string;
  /**
   * As in the answer to the submission, but as of now; canceled: every task was canceled; completed: every task has ended otherwise.
   */
  status: "running" | "queued" | "mixed" | "all_distributed" | "all_queued" | "completed" | "canceled";
  /**
   * Tasks that are still kept, and lines of its file that are none.
   */
  total: number;
  /**
   * Tasks that were submitted, or the lines of its file.
   */
  size: number;
  /**
   * Of the tasks that are still kept, by status. A line of its file that is yet to become one is queued, one that was refused has failed.
   */
  counts: {
    queued: number;
    running: number;
    completed: number;
    failed: number;
    canceled: number;
  };
  /**
   * The share of its tasks that have ended, 0 to 1.
   */
  progress: number;
  /**
   * When it was submitted.
   */
  created_at: string;
  /**
   * When the last of its tasks had ended.
   */
  finished_at: string | null;
}
/**
 * Others are all processes but this server's workers. null: the device does not tell.
 */
export interface Gpu {
  id: number;
  name: string;
  /**
   * Percent, by everybody.
   */
  utilization: number | null;
  /**
   * Bytes, by everybody.
   */
  memory_used: number | null;
  /**
   * Bytes.
   */
  memory_total: number | null;
  /**
   * Tasks that run there now, whoever they belong to.
   */
  task_count: number;
  /**
   * The machine of the cluster that has it; absent: this one.
   */
  machine?: string;
  /**
   * Its permanent name; absent when it is several joined.
   */
  uuid?: string;
  /**
   * Only when it is several that hold one model.
   */
  uuids?: string[];
  /**
   * null: it is a stand-in. Absent when it is several joined.
   */
  pci_bus_id?: string | null;
  /**
   * Only when it is several, as uuids.
   */
  pci_bus_ids?: string[];
  /**
   * remote: a server that runs already.
   */
  kind: "gpu" | "cpu" | "simulated" | "remote";
  /**
   * starting: loads the model; ready: takes tasks; hot: takes none until it has cooled down; draining: finishes what runs, takes nothing new; drained: has finished; unfit: cannot serve as things are; faulted: failed, is tried again by itself; lost: is not there any more.
   */
  status: "starting" | "ready" | "hot" | "draining" | "drained" | "unfit" | "faulted" | "lost";
  /**
   * Why it is in this state; null: it is ready.
   */
  reason: string | null;
  /**
   * Since when the status holds.
   */
  since: string;
  /**
   * Why it gets no new tasks although it is ready; null: it does.
   */
  crowded: string | null;
  /**
   * Tasks it may run at once.
   */
  slots: number;
  /**
   * The figure that least_loaded compares, 0 to 1.
   */
  load: number;
  /**
   * °C.
   */
  temperature: number | null;
  /**
   * °C; above it, no new tasks until it has cooled down.
   */
  max_temperature: number | null;
  /**
   * W, drawn now.
   */
  power: number | null;
  /**
   * W.
   */
  power_limit: number | null;
  /**
   * J, since the driver was loaded.
   */
  energy: number | null;
  /**
   * Why its clock is lower than it could be; empty: it is not.
   */
  throttle: string[] | null;
  /**
   * Memory errors since the driver was loaded.
   */
  ecc: {
    corrected: number;
    uncorrected: number;
  } | null;
  /**
   * How often the driver reported which Xid error since this server started.
   */
  xids: {
    [k: string]: number;
  };
  /**
   * Share of its memory, 0 to 1, that others have taken.
   */
  others_memory: number | null;
  /**
   * Share of its time, 0 to 1, that others use; of a server, share of the requests it can work on.
   */
  others_utilization: number | null;
  /**
   * Bytes.
   */
  memory_free: number | null;
  /**
   * CUDA's, like 8.6.
   */
  compute_capability: number | null;
  /**
   * The model, for people; null: not loaded yet, or there may be several, as of all about its model.
   */
  model: string | null;
  /**
   * What requests call its model; null: not loaded yet.
   */
  model_name: string | null;
  /**
   * What its model can do; null: not loaded yet.
   */
  capabilities: ("chat" | "completion" | "embedding" | "json_schema" | "tools" | "logprobs" | "vision")[] | null;
  /**
   * Whether its model has a chat template; null: not loaded yet, or its server does not tell.
   */
  chat_template: boolean | null;
  /**
   * Tokens for each slot; null: no model is loaded yet, or its server does not tell.
   */
  context: number | null;
  /**
   * Settings that were made smaller, because the memory was too small for the configured ones.
   */
  memory_note: string | null;
  /**
   * The device that the engine reports; null: none yet.
   */
  device: string | null;
  /**
   * Worker processes that died since the server started.
   */
  restarts: number;
  /**
   * The models that it may hold, those too that are not loaded.
   */
  instances: {
    /**
     * What requests call it; null: not known before it is loaded.
     */
    model: string | null;
    /**
     * cold: loaded when it is wanted; loading: it is being loaded, or fetched; ready: takes tasks; unloading: it leaves; failed: could not be loaded, or its GPU failed.
     */
    state: "cold" | "loading" | "ready" | "unloading" | "failed";
    /**
     * Why it is in this state; null: it is ready.
     */
    reason: string | null;
    /**
     * Bytes that the model takes there, or would take; null: not known.
     */
    memory_bytes: number | null;
    /**
     * Seconds that its last load took; null: none did.
     */
    load_seconds: number | null;
    /**
     * When a task last began or ended there, or else when it was loaded; null: neither was.
     */
    last_used_at: string | null;
    /**
     * Tasks that run there now.
     */
    running: number;
    /**
     * Tasks of it that may run there at once.
     */
    slots: number;
    /**
     * Tokens for each slot; null: it was not loaded yet, or its server does not tell.
     */
    context: number | null;
    /**
     * Bytes of KV cache for each token; null: it was not loaded yet, or its engine does not tell.
     */
    kv_bytes_per_token: number | null;
  }[];
  /**
   * How its engine computes, and why so; null: no model is loaded yet.
   */
  settings:
    | {
        name: string;
        value: string | number;
        reason: string;
      }[]
    | null;
  /**
   * Figures that the server behind it reports; null: there is none, or it reports none.
   */
  upstream: {
    /**
     * Requests it works on, by everybody.
     */
    running: number | null;
    /**
     * Requests that wait there.
     */
    waiting: number | null;
    /**
     * Share of its KV cache in use, 0 to 1.
     */
    kv_cache_use: number | null;
    /**
     * Requests it can work on at once.
     */
    slots: number | null;
  } | null;
}
/**
 * A model that requests can name.
 */
export interface ServedModel {
  /**
   * What requests call it.
   */
  name: string;
  /**
   * Further names of it.
   */
  aliases: string[];
  /**
   * device: a device's own model, there as long as that serves. config: it stands in `models`. pulled: DELETE forgets it.
   */
  origin: "device" | "config" | "pulled";
  /**
   * Where it comes from; null: not known.
   */
  source: string | null;
  /**
   * Of its repository; null: it has none, or it is not known.
   */
  commit: string | null;
  /**
   * As its source names it; null: not known.
   */
  licence: string | null;
  /**
   * Bytes of its files; null: it has none here, or none yet.
   */
  size_bytes: number | null;
  /**
   * Tokens for each slot; null: not known before it is loaded.
   */
  context: number | null;
  /**
   * What it can do; null: not known before it was loaded once.
   */
  capabilities: ("chat" | "completion" | "embedding" | "json_schema" | "tools" | "logprobs" | "vision")[] | null;
  /**
   * When it is loaded: at the start, or when it is wanted.
   */
  load: "start" | "demand";
  /**
   * Seconds without a task after which it is unloaded; null: it stays until another needs the memory.
   */
  keep_alive: number | null;
  /**
   * How far its fetch is; null: it is not being fetched.
   */
  fetch: {
    /**
     * Bytes that are here.
     */
    bytes: number;
    /**
     * Bytes in all; null: not told.
     */
    total: number | null;
    /**
     * Bytes a second.
     */
    rate: number;
  } | null;
  /**
   * One for each GPU that may hold it.
   */
  instances: {
    gpu_id: number;
    /**
     * cold: loaded when it is wanted; loading: it is being loaded, or fetched; ready: takes tasks; unloading: it leaves; failed: could not be loaded, or its GPU failed.
     */
    state: "cold" | "loading" | "ready" | "unloading" | "failed";
    /**
     * Why it is in this state; null: it is ready.
     */
    reason: string | null;
    /**
     * Bytes that the model takes there, or would take; null: not known.
     */
    memory_bytes: number | null;
    /**
     * Seconds that its last load took; null: none did.
     */
    load_seconds: number | null;
    /**
     * When a task last began or ended there, or else when it was loaded; null: neither was.
     */
    last_used_at: string | null;
    /**
     * Tasks that run there now.
     */
    running: number;
    /**
     * Tasks of it that may run there at once.
     */
    slots: number;
    /**
     * Tokens for each slot; null: it was not loaded yet, or its server does not tell.
     */
    context: number | null;
    /**
     * Bytes of KV cache for each token; null: it was not loaded yet, or its engine does not tell.
     */
    kv_bytes_per_token: number | null;
  }[];
}
