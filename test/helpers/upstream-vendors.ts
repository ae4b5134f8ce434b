/** What the servers of test/helpers/upstream.ts say, each in its own way. */

export const VENDORS = ["vllm", "sglang", "tgi", "llama-server", "ollama", "tensorrt-llm", "plain"] as const;
export type Vendor = (typeof VENDORS)[number];

export const MODEL = "org/stand-in";

export interface Answered {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  /** Text as a page, anything else as JSON. */
  readonly body: unknown;
}

/** By path: what is answered there, or what makes it of a request's body. */
export type Pages = Readonly<Record<string, unknown>>;

interface Now {
  readonly model: string;
  readonly context: number;
  readonly running: number;
}

type Body = Record<string, unknown>;

export function tokensIn(prompt: string): number {
  return Math.ceil(Buffer.byteLength(prompt) / 4);
}

/** Beside completions. */
export const VENDOR_PAGES: Readonly<Record<Vendor, (now: Now) => Pages>> = {
  vllm: ({ model, context, running }) => ({
    "/v1/models": listOf(model, { owned_by: "vllm", max_model_len: context }),
    "/version": { version: "0.11.0" },
    "/tokenize": (body: Body) => ({ count: tokensIn(promptIn(body)), max_model_len: context }),
    "/metrics": gauges({
      'vllm:num_requests_running{engine="0",model_name="m"}': running,
      'vllm:num_requests_waiting{engine="0",model_name="m"}': 3,
      'vllm:kv_cache_usage_perc{engine="0",model_name="m"}': 0.25,
    }),
  }),
  sglang: ({ model, context, running }) => ({
    "/v1/models": listOf(model, { owned_by: "sglang", max_model_len: context }),
    "/server_info": { version: "0.5.5", model_path: model },
    "/tokenize": (body: Body) => ({ count: tokensIn(promptIn(body)) }),
    "/v1/loads": {
      loads: [{ num_running_reqs: running, num_waiting_reqs: 1, token_usage: 0.5, max_running_requests: 64 }],
    },
  }),
  tgi: ({ model, context, running }) => ({
    "/v1/models": listOf(model, { owned_by: model }),
    "/info": { model_id: model, max_total_tokens: context, version: "3.3.5" },
    "/tokenize": ({ inputs }: Body) => tokensOf(inputs),
    "/chat_tokenize": (body: Body) => ({ tokenize_response: tokensOf(promptIn(body)) }),
    "/metrics": gauges({ tgi_batch_current_size: running, tgi_queue_size: 2 }),
  }),
  "llama-server": ({ model, context, running }) => ({
    "/v1/models": listOf(model, { owned_by: "llamacpp", aliases: ["an-alias"], meta: { n_ctx: context } }),
    "/props": { default_generation_settings: { n_ctx: context }, total_slots: 8, build_info: "b7000" },
    "/slots": Array.from({ length: 8 }, (_, id) => ({ id, is_processing: id < running })),
    "/tokenize": ({ content }: Body) => ({ tokens: tokensOf(content) }),
  }),
  ollama: ({ model }) => ({
    "/v1/models": listOf(model, { owned_by: "library" }),
    "/api/version": { version: "0.12.6" },
  }),
  "tensorrt-llm": ({ model, running }) => ({
    "/v1/models": listOf(model, { owned_by: "tensorrt_llm" }),
    "/version": { version: "1.1.0" },
    "/prometheus/metrics": gauges({
      trtllm_num_requests_running: running,
      trtllm_num_requests_waiting: 0,
      trtllm_kv_cache_utilization: 0.125,
    }),
  }),
  plain: ({ model }) => ({ "/v1/models": listOf(model, { owned_by: "somebody" }) }),
};

const OPENAI_FIELDS =
  "model prompt messages max_tokens temperature top_p seed frequency_penalty stop stream stream_options response_format tools tool_choice logprobs top_logprobs";
const PARALLEL = "parallel_tool_calls";
const BIASES = ["presence_penalty", "logit_bias"];
const SAMPLERS = ["top_k", "min_p", ...BIASES];
/** What is to be continued; each message has a word for its role before it. */
export function promptIn({ prompt, messages }: Body): string {
  if (!Array.isArray(messages)) return String(prompt);
  return messages.map(({ role, content }: { role: string; content: string }) => `${role}\n${content}\n`).join("");
}

const FURTHER_FIELDS: Readonly<Record<Vendor, readonly string[]>> = {
  vllm: [...SAMPLERS, PARALLEL],
  sglang: [...SAMPLERS, PARALLEL, "rid"],
  tgi: [],
  "llama-server": [...SAMPLERS, PARALLEL, "grammar"],
  ollama: ["presence_penalty"],
  "tensorrt-llm": SAMPLERS,
  plain: [...BIASES, PARALLEL],
};

/** How a vendor refuses fields that it does not know, and what does not fit into its context; undefined: it takes the task. */
export function refusalOf(vendor: Vendor, context: number, body: Body): Answered | undefined {
  const known = new Set([...OPENAI_FIELDS.split(" "), ...FURTHER_FIELDS[vendor]]);
  const unknown = Object.keys(body).filter((name) => !known.has(name));
  if (unknown.length > 0) return { status: 400, body: { detail: `Extra inputs are not permitted: ${unknown.join()}` } };
  if (vendor === "tgi" && (Number(body.top_p) >= 1 || (Array.isArray(body.stop) && body.stop.length > 4)))
    return { status: 422, body: { error: "Input validation error", error_type: "validation" } };
  const tokens = tokensIn(promptIn(body));
  const all = tokens + Number(body.max_tokens ?? 1);
  switch (vendor) {
    case "vllm":
    case "sglang": {
      const message = `This model's maximum context length is ${context} tokens, but ${all} were asked for.`;
      return all <= context ? undefined : { status: 400, body: { error: { message, code: 400 } } };
    }
    case "llama-server": {
      const message = `request (${tokens} tokens) exceeds the available context size (${context} tokens)`;
      return tokens < context ? undefined : { status: 400, body: { error: { message, code: 400 } } };
    }
    case "tgi": {
      const message = `Input validation error: \`inputs\` tokens + \`max_new_tokens\` must be <= ${context}. Given: ${tokens} and ${all - tokens}`;
      const data = JSON.stringify({ error: { message, http_status_code: 422 } });
      return all <= context ? undefined : { headers: EVENTS, body: `data: ${data}\n\n` };
    }
    default:
      return undefined;
  }
}

export const EVENTS = { "content-type": "text/event-stream; charset=utf-8" };

/** How far a task has got. */
export interface Said {
  readonly prompt: string;
  readonly body: Body;
  tokens: number;
}

/** The data of the events for one token, and with the last one of those that end the answer. */
export function eventsOf(vendor: Vendor, { prompt, tokens, body }: Said, text: string, isLast: boolean): string[] {
  const prompt_tokens = tokensIn(prompt);
  const usage = { prompt_tokens, completion_tokens: tokens, total_tokens: prompt_tokens + tokens };
  const total = JSON.stringify({ choices: [], usage: { ...usage, prompt_tokens_details: { cached_tokens: 1 } } });
  const reason = isLast ? "length" : null;
  const { continuous_usage_stats } = body.stream_options as Record<string, unknown>;
  const piece = "messages" in body ? chatPiece : chunk;
  const now = { prompt_tokens, completion_tokens: 0, total_tokens: prompt_tokens };
  const begun = chatChunk(
    { role: "assistant", content: "" },
    null,
    continuous_usage_stats === true ? { usage: now } : {},
  );
  const first = piece === chatPiece && tokens === 1 ? [begun] : [];
  return [...first, ...pieces()];

  function pieces(): string[] {
    switch (vendor) {
      case "tgi":
        return isLast ? [piece(text, reason, { usage }), "[DONE]"] : [piece(text, "")];
      case "ollama": {
        const zeros = { usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 } };
        return [piece(text, reason, zeros), ...(isLast ? [total, "[DONE]"] : [])];
      }
      case "llama-server":
        return [piece(text, null), ...(isLast ? [piece("", reason, { usage }), "[DONE]"] : [])];
      default:
        return [
          piece(text, reason, continuous_usage_stats === true ? { usage } : {}),
          ...(isLast ? [total, "[DONE]"] : []),
        ];
    }
  }
}

function chunk(text: string, finish_reason: string | null, rest: object = {}): string {
  return JSON.stringify({ id: "cmpl-1", choices: [{ index: 0, text, finish_reason }], ...rest });
}

function chatPiece(content: string, finish_reason: string | null, rest: object = {}): string {
  return chatChunk(content === "" ? {} : { content }, finish_reason, rest);
}

function chatChunk(added: object, finish_reason: string | null, rest: object = {}): string {
  const choices = [{ index: 0, delta: added, finish_reason, logprobs: null }];
  return JSON.stringify({ id: "chatcmpl-1", object: "chat.completion.chunk", choices, ...rest });
}

/** The answer of `POST /v1/embeddings`: a vector of 4 numbers for each input, none of length 1. */
export function embeddingsOf({ input, encoding_format }: Body): object {
  const inputs = input as readonly (string | readonly number[])[];
  const data = inputs.map((one, index) => {
    const size = typeof one === "string" ? Buffer.byteLength(one) : one.length;
    const numbers = [size, typeof one === "string" ? one.charCodeAt(0) : one[0]!, 1, -1];
    const embedding =
      encoding_format === "base64" ? Buffer.from(new Float32Array(numbers).buffer).toString("base64") : numbers;
    return { object: "embedding", index, embedding };
  });
  const tokens = inputs.reduce((all, one) => all + (typeof one === "string" ? tokensIn(one) : one.length), 0);
  return { object: "list", data, usage: { prompt_tokens: tokens, total_tokens: tokens } };
}

function listOf(id: string, card: object): object {
  return { object: "list", data: [{ id, object: "model", ...card }] };
}

function gauges(values: Readonly<Record<string, number>>): string {
  return Object.entries(values)
    .map(([name, value]) => `# TYPE ${name.split("{")[0]} gauge\n${name} ${value.toFixed(3)}\n`)
    .join("");
}

function tokensOf(text: unknown): number[] {
  return Array.from({ length: tokensIn(String(text)) }, (_, index) => index);
}
