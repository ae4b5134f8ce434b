/** The schema of `engine`. */
import { Type } from "../common/type.ts";
import { KV_CACHE_TYPES, SIMULATED_CAPABILITIES, SIMULATED_FAILURES } from "../engine/engine.ts";
import { ENGINE_KINDS, ENGINES } from "../engine/kinds.ts";
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

const Model = Type.Object(
  {
    gpu_id: Type.Optional(Type.Integer({ minimum: 0 })),
    name: Type.Optional(NonEmpty),
    capabilities: Type.Optional(Type.Array(Type.Enum([...SIMULATED_CAPABILITIES]), { minItems: 1 })),
  },
  { additionalProperties: false },
);

export const EngineSection = section("The engine that generates text on each GPU.", {
  kind: Type.Enum([...ENGINE_KINDS], {
    default: "llama",
    description: ENGINE_KINDS.map((kind) => `${kind}: ${ENGINES[kind].meaning}.`).join("\n"),
  }),
  model: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        "Path of a GGUF file; null: the demo model that comes with ALT_LAS. For openai: the model's name on that server; null: the one it serves.",
    }),
  ),
  context: Type.Optional(
    Type.Integer({
      minimum: 16,
      description: "Tokens of context for each slot; null: as many as the model was trained for, 8192 at most.",
    }),
  ),
  min_context: Type.Integer({
    default: 2048,
    minimum: 16,
    description: "Where memory is short, the context of each slot shrinks down to this; then there are fewer slots.",
  }),
  raw: Type.Optional(
    Type.Boolean({
      description:
        "Whether a text is continued as it is, also where the model has a chat template; a request may say otherwise. null: false, but true for openai.",
    }),
  ),
  threads: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1024,
      description:
        "CPU threads of each device. null: a GPU has one; CPU devices share the cores, of which one is left for the server.",
    }),
  ),
  prefill_chunk: Type.Integer({
    ...STEP_TOKENS,
    default: 256,
    description: "Tokens of prompts that one step reads at most while other tasks generate.",
  }),
  batch_size: Type.Optional(
    Type.Integer({ ...STEP_TOKENS, description: "Tokens of one step at most; null: it depends on the device." }),
  ),
  flash_attention: Type.Unsafe<boolean | "auto">({
    ...FLASH_ATTENTION,
    default: "auto",
    description: "auto (llama.cpp decides), true or false.",
  }),
  kv_cache_type: Type.Enum(["auto", ...KV_CACHE_TYPES], {
    default: "auto",
    description: "f16, q8_0, q4_0; auto: f16, or q8_0 where only that leaves the slots their context.",
  }),
  binary: Type.String({
    default: "llama-server",
    minLength: 1,
    description: "For llama-server: the program, a path or a name on PATH.",
  }),
  url: Type.Optional(
    Type.Unsafe<string | readonly string[]>({
      ...either("array", Type.Array(NonEmpty, { minItems: 1 }), NonEmpty),
      description:
        "For openai: the server's address, like http://10.0.0.5:8000; each address of a list becomes one GPU. It counts with devices: auto, and for entries without a url of their own.",
    }),
  ),
  api_key: Type.Optional(
    Type.String({
      minLength: 1,
      secret: true,
      description: "For openai: the key that the server wants, like ${VLLM_KEY}; null: none.",
    }),
  ),
  first_byte_timeout: Type.Number({
    ...PATIENCE,
    default: 120,
    description: "For openai and llama-server: seconds within which an answer to a task must begin.",
  }),
  token_timeout: Type.Number({
    ...PATIENCE,
    default: 30,
    description: "For openai and llama-server: seconds that may pass between two pieces of an answer.",
  }),
  simulated: section("The simulated engine.", {
    tokens_per_second: Type.Number({
      default: 100,
      minimum: 0,
      description: "Tokens of each slot in a second; 0: as fast as it can.",
    }),
    load_seconds: Type.Number({ default: 0, minimum: 0, maximum: 86_400, description: "Seconds that loading takes." }),
    context: Type.Integer({ default: 32_768, minimum: 16, description: "Tokens of context for each slot." }),
    memory_bytes: Type.Integer({ default: 0, minimum: 0, description: "Bytes of weights it pretends to need." }),
    failures: Type.Array(Failure, {
      default: [],
      description: "Failures to simulate, each with kind, gpu_id, when_text_contains and after_tokens.",
    }),
    models: Type.Array(Model, {
      default: [],
      description:
        "Models to simulate, each with gpu_id, name and capabilities; none: one called simulated on each GPU.",
    }),
  }),
});
