/** The schema of `models`: models by name, several of which may share a GPU. */
import { type Static, Type } from "../common/type.ts";
import { EngineSettings } from "./device-settings.ts";
import { LONGEST_SECONDS, NonEmpty } from "./section.ts";

/** How a model may be called, as a pattern and in words. */
export const MODEL_NAME = {
  // In an address, clients take `.` and `..` between slashes for steps between folders: such a model could not be removed.
  pattern: "^(?!(?:.*/)?\\.\\.?(?:/|$))[A-Za-z0-9._:/-]{1,128}$",
  allowed: "1 to 128 letters, digits, '.', '_', ':', '/' or '-', and no '.' or '..' between slashes",
};
const ModelName = Type.String(MODEL_NAME);

/** As for a device; `memory_bytes` and `load_seconds` are for the simulated engine. */
const ModelEngine = Type.Object(
  {
    ...Type.Omit(EngineSettings, ["model", "context", "raw", "url", "api_key"]).properties,
    memory_bytes: Type.Optional(Type.Integer({ minimum: 0 })),
    load_seconds: Type.Optional(Type.Number({ minimum: 0, maximum: 86_400 })),
  },
  { additionalProperties: false },
);

/** One entry of `models`. */
export const ModelSettings = Type.Object(
  {
    name: ModelName,
    aliases: Type.Array(ModelName, { default: [] }),
    source: Type.Optional(NonEmpty),
    gpus: Type.Optional(Type.Array(Type.Integer({ minimum: 0 }), { minItems: 1 })),
    slots: Type.Optional(Type.Integer({ minimum: 1, maximum: 256 })),
    context: Type.Optional(Type.Integer({ minimum: 16 })),
    raw: Type.Optional(Type.Boolean()),
    engine: Type.Optional(ModelEngine),
    load: Type.Enum(["start", "demand"], { default: "start" }),
    keep_alive: Type.Optional(
      Type.Number({ exclusiveMinimum: 0, maximum: LONGEST_SECONDS, allowed: "a number of seconds above 0" }),
    ),
    task_types: Type.Array(NonEmpty, { default: [] }),
  },
  { additionalProperties: false },
);
export type ModelSettings = Static<typeof ModelSettings>;

export const MODELS = Type.Array(ModelSettings, {
  live: true,
  default: [],
  description: [
    "Models by name, in the place of engine.model. Several may share a GPU; each entry may have these keys:",
    "  - { name: chat, source: hf:Qwen/Qwen2.5-7B-Instruct-GGUF:Q4_K_M } # loaded at the start, on every GPU with room",
    "  - { name: small, aliases: [gpt-4o-mini], source: /models/a.gguf, gpus: [0], slots: 4, context: 4096 }",
    "  - { name: rare, source: smollm2-135m, load: demand, keep_alive: 600 } # loaded when it is wanted, for 600 s at least",
    "  - { name: remote, source: meta-llama/Llama-3.1-8B, gpus: [2], engine: { kind: openai } } # on the server behind GPU 2",
    "source: a path, hf:OWNER/REPO/FILE.gguf[@REVISION], hf:OWNER/REPO[:QUANTIZATION], an https address, a name of the",
    "built-in table; of openai the name on that server. task_types: types of tasks that mean this model when they name none.",
  ].join("\n"),
});
