/** The schema of `engine`. */
import { Type } from "typebox";
import { ENGINE_KINDS, KV_CACHE_TYPES, SIMULATED_FAILURES } from "../engine/engine.ts";
import { FLASH_ATTENTION, PATIENCE, STEP_TOKENS } from "./device-settings.ts";
import { either, NonEmpty, section } from "./section.ts";

const Failure = Type.Object(
  {
    kind: Type.Enum([...SIMULATED_FAILURES]),
    gpu_id: Type.Optional(Type.Integer({ minimum: 0 })),
    when_text_contains: Type.Optional(Type.String()),
    after_tokens: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  { additionalProperties: false },
);

export const EngineSection = section("What generates text on each GPU.", {
  kind: Type.Enum([...ENGINE_KINDS], {
    default: "llama",
    description: [
      "llama: llama.cpp inside the worker; llama-server: a llama.cpp server that the worker starts; openai: a server that runs already",
      "(vLLM, SGLang, TGI, llama-server, Ollama, another ALT_LAS); simulated: no model, for tests and load.",
    ].join("\n"),
  }),
  model: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        "Path of a GGUF file; none: the demo model that comes with ALT_LAS. Of openai: the model's name there; none: the one it serves.",
    }),
  ),
  context: Type.Optional(
    Type.Integer({
      minimum: 16,
      description: "Tokens of context for each slot; none: the smaller of what the model was trained for and 8192.",
    }),
  ),
  min_context: Type.Integer({
    default: 2048,
    minimum: 16,
    description: "Where memory is short, the context of each slot becomes smaller down to this, then slots fewer.",
  }),
  threads: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1024,
      description:
        "CPU threads of each device; none: on a CPU the cores less one for the server, shared out, on a GPU one.",
    }),
  ),
  prefill_chunk: Type.Integer({
    ...STEP_TOKENS,
    default: 256,
    description: "Tokens of prompts that are decoded at most in one step beside tasks that generate.",
  }),
  batch_size: Type.Optional(
    Type.Integer({ ...STEP_TOKENS, description: "Tokens of one step at most; none: by the device." }),
  ),
  flash_attention: Type.Unsafe<boolean | "auto">({
    ...FLASH_ATTENTION,
    default: "auto",
    description: "auto, true or false.",
  }),
  kv_cache_type: Type.Enum(["auto", ...KV_CACHE_TYPES], {
    default: "auto",
    description: "f16, q8_0, q4_0; auto: f16, or q8_0 where that lets slots keep the context that is wanted.",
  }),
  binary: Type.String({
    default: "llama-server",
    minLength: 1,
    description: "Of llama-server: the program, a path or a name on PATH.",
  }),
  url: Type.Optional(
    Type.Unsafe<string | readonly string[]>({
      ...either("array", Type.Array(NonEmpty, { minItems: 1 }), NonEmpty),
      description:
        "Of openai: where the server is, like http://10.0.0.5:8000; a list is one GPU for each. It goes with devices: auto, or with entries that have no url of their own.",
    }),
  ),
  api_key: Type.Optional(
    Type.String({
      minLength: 1,
      secret: true,
      description: "Of openai: its key, like ${VLLM_KEY}; none: it needs none.",
    }),
  ),
  first_byte_timeout: Type.Number({
    ...PATIENCE,
    default: 120,
    description: "Of openai and llama-server: seconds until an answer to a task has to begin.",
  }),
  token_timeout: Type.Number({
    ...PATIENCE,
    default: 30,
    description: "Of openai and llama-server: seconds that may pass between two pieces of an answer.",
  }),
  simulated: section("The simulated engine.", {
    tokens_per_second: Type.Number({
      default: 100,
      minimum: 0,
      description: "For each slot; 0: as fast as it can.",
    }),
    load_seconds: Type.Number({ default: 0, minimum: 0, maximum: 86_400, description: "How long loading takes." }),
    context: Type.Integer({ default: 32_768, minimum: 16, description: "Tokens of context for each slot." }),
    memory_bytes: Type.Integer({ default: 0, minimum: 0, description: "Bytes of weights it pretends to need." }),
    failures: Type.Array(Failure, {
      default: [],
      description: "kind, gpu_id, when_text_contains, after_tokens: what goes wrong, and when.",
    }),
  }),
});
