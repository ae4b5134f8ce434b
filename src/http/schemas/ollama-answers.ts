/** Ollama's API: what its clients are answered. */
import { Type, type Static } from "../../common/type.ts";
import { oneOf, Time, TIME_EXAMPLE } from "./common.ts";
import { TokenLogprobView } from "./tasks.ts";
import { writtenAsItIs } from "./long-lists.ts";

const nanoseconds = (description: string) =>
  Type.Optional(Type.Integer({ description: `Nanoseconds: ${description}.` }));

/** Beside every answer about text. */
const frame = {
  model: Type.String({ description: "As the request has called it." }),
  created_at: Time("When it was written."),
  done: Type.Boolean({ description: "Whether this is the last of the answer." }),
  done_reason: Type.Optional(oneOf(["stop", "length", "load", "unload"])),
  total_duration: nanoseconds("from the submission to the last token"),
  load_duration: nanoseconds("it waited, the loading of a model included"),
  prompt_eval_count: Type.Optional(Type.Integer({ description: "Tokens of the prompt." })),
  prompt_eval_duration: nanoseconds("to the first token"),
  eval_count: Type.Optional(Type.Integer({ description: "Tokens of the answer." })),
  eval_duration: nanoseconds("from the first token to the last"),
  logprobs: writtenAsItIs(Type.Optional(Type.Array(TokenLogprobView))),
};

const thinking = Type.Optional(Type.String({ description: "What the model wrote for itself before." }));

const ToolCall = Type.Object({
  id: Type.String(),
  function: Type.Object({
    name: Type.String(),
    arguments: Type.Unsafe<object>({ type: "object", additionalProperties: true }),
  }),
});

const EXAMPLE = { model: "demo", created_at: TIME_EXAMPLE, done: true, done_reason: "stop" } as const;
const FIGURES = {
  total_duration: 512_000_000,
  load_duration: 1_000_000,
  prompt_eval_count: 9,
  prompt_eval_duration: 20_000_000,
  eval_count: 2,
  eval_duration: 40_000_000,
};

export const OllamaChatAnswer = Type.Object(
  {
    ...frame,
    message: Type.Object({
      role: oneOf(["assistant"]),
      content: Type.String(),
      thinking,
      tool_calls: Type.Optional(Type.Array(ToolCall, { description: "The tools that the model asks for." })),
    }),
  },
  {
    examples: [{ ...EXAMPLE, message: { role: "assistant", content: "Hello!" }, ...FIGURES }],
  },
);
export type OllamaChatAnswer = Static<typeof OllamaChatAnswer>;

export const OllamaGenerateAnswer = Type.Object(
  { ...frame, response: Type.String(), thinking },
  { examples: [{ ...EXAMPLE, response: "Hello!", ...FIGURES }] },
);
export type OllamaGenerateAnswer = Static<typeof OllamaGenerateAnswer>;

/** The fields of both but those in which they differ. */
export type OllamaFrame = Omit<OllamaGenerateAnswer, "response" | "thinking">;

export const OllamaEmbedAnswer = Type.Object(
  {
    model: frame.model,
    embeddings: Type.Array(Type.Array(Type.Number()), { description: "Unit vectors, in the order of the texts." }),
    total_duration: frame.total_duration,
    load_duration: frame.load_duration,
    prompt_eval_count: frame.prompt_eval_count,
  },
  { examples: [{ model: "minilm", embeddings: [[0.6, 0.8]], prompt_eval_count: 3 }] },
);
export type OllamaEmbedAnswer = Static<typeof OllamaEmbedAnswer>;

export const OllamaEmbeddingsAnswer = Type.Object({ embedding: Type.Array(Type.Number()) });
export type OllamaEmbeddingsAnswer = Static<typeof OllamaEmbeddingsAnswer>;

export const OllamaLines = Type.String({
  description:
    "Lines of JSON, each a piece of the answer; the last one is `done`. An error after the first is a line with `error`.",
  examples: [
    `{"model":"demo","created_at":"${TIME_EXAMPLE}","message":{"role":"assistant","content":"Hello!"},"done":false}\n`,
  ],
});

const Details = Type.Object({
  parent_model: Type.String({ description: 'Always "".' }),
  format: Type.String({ description: '"gguf"; "": the model has no file here.' }),
  family: Type.String({ description: 'Its architecture; "": not known.' }),
  families: Type.Array(Type.String()),
  parameter_size: Type.String({ description: 'As its file says; "": it says nothing.' }),
  quantization_level: Type.String({ description: 'As its file is named; "": that says nothing.' }),
});
export type OllamaDetails = Static<typeof Details>;

const listed = {
  name: Type.String({ description: "With `:latest` where its name has no tag." }),
  model: Type.String({ description: "The same." }),
  size: Type.Integer({ description: "Bytes of its files; 0: it has none here." }),
  digest: Type.String({
    description:
      "The same as long as the model is: a hash of its name, its commit and its size. It is none of its file.",
  }),
  details: Details,
};

export const OllamaTags = Type.Object({
  models: Type.Array(Type.Object({ ...listed, modified_at: Time("Since when it can be asked for.") })),
});
export type OllamaTags = Static<typeof OllamaTags>;

export const OllamaRunning = Type.Object({
  models: Type.Array(
    Type.Object({
      ...listed,
      expires_at: Time("When it is unloaded unless a task wants it; far away: it stays."),
      size_vram: Type.Integer({ description: "Bytes that it takes on GPUs." }),
      context_length: Type.Optional(Type.Integer({ description: "Tokens for each slot." })),
    }),
  ),
});
export type OllamaRunning = Static<typeof OllamaRunning>;

export const OllamaShow = Type.Object({
  license: Type.Optional(Type.String()),
  details: Details,
  model_info: Type.Unsafe<Readonly<Record<string, unknown>>>({
    type: "object",
    additionalProperties: true,
    description:
      "What is known of it, by the names that GGUF files have: `<architecture>.context_length` is what a slot has.",
  }),
  capabilities: Type.Array(Type.String(), {
    description: "completion, tools, embedding; empty: not known before it was loaded once.",
  }),
  modified_at: Type.Optional(Time("Since when it can be asked for.")),
});
export type OllamaShow = Static<typeof OllamaShow>;

export const OllamaVersion = Type.Object({
  version: Type.String({ description: "The version of Ollama whose API this follows." }),
  alt_las: Type.String({ description: "The server's own version." }),
});
