/** Models by name, where they are, and having them loaded and unloaded. */
import { Type, type Static } from "../../common/type.ts";
import { CAPABILITIES, type Capability } from "../../request.ts";
import { closed, oneOf, orNull, shared } from "./common.ts";
import { INSTANCE_EXAMPLE, instanceFields } from "./gpus.ts";

interface FetchView {
  readonly bytes: number;
  readonly total: number | null;
  readonly rate: number;
}

export const ModelView = Type.Object(
  {
    name: Type.String({ description: "What requests call it." }),
    aliases: Type.Array(Type.String(), { description: "Further names of it." }),
    origin: oneOf(["device", "config", "pulled"], {
      description:
        "device: a device's own model, there as long as that serves. config: it stands in `models`. pulled: DELETE forgets it.",
    }),
    source: orNull<string>("string", { description: "Where it comes from; null: not known." }),
    commit: orNull<string>("string", { description: "Of its repository; null: it has none, or it is not known." }),
    licence: orNull<string>("string", { description: "As its source names it; null: not known." }),
    size_bytes: orNull<number>("integer", { description: "Bytes of its files; null: it has none here, or none yet." }),
    context: orNull<number>("integer", { description: "Tokens for each slot; null: not known before it is loaded." }),
    capabilities: Type.Unsafe<Capability[] | null>({
      type: ["array", "null"],
      items: { enum: [...CAPABILITIES] },
      description: "What it can do; null: not known before it was loaded once.",
    }),
    load: oneOf(["start", "demand"], { description: "When it is loaded: at the start, or when it is wanted." }),
    keep_alive: orNull<number>("number", {
      description: "Seconds without a task after which it is unloaded; null: it stays until another needs the memory.",
    }),
    fetch: Type.Unsafe<FetchView | null>({
      type: ["object", "null"],
      properties: {
        bytes: { type: "integer", description: "Bytes that are here." },
        total: { type: ["integer", "null"], description: "Bytes in all; null: not told." },
        rate: { type: "number", description: "Bytes a second." },
      },
      required: ["bytes", "total", "rate"],
      description: "How far its fetch is; null: it is not being fetched.",
    }),
    instances: Type.Array(Type.Object({ gpu_id: Type.Integer(), ...instanceFields }), {
      description: "One for each GPU that may hold it.",
    }),
  },
  {
    $id: "ServedModel",
    description: "A model that requests can name.",
    examples: [
      {
        name: "chat",
        aliases: ["gpt-4o-mini"],
        origin: "pulled",
        source: "hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M",
        commit: "9217f5db79a29953eb74d5343926648285ec7e67",
        licence: "apache-2.0",
        size_bytes: 491_400_032,
        context: 8192,
        capabilities: ["chat", "completion", "embedding"],
        load: "demand",
        keep_alive: 600,
        fetch: null,
        instances: [{ gpu_id: 0, ...INSTANCE_EXAMPLE }],
      },
    ],
  },
);
export type ModelView = Static<typeof ModelView>;
export const ServedModelRef = shared(ModelView);

export const ServedModelsAnswer = Type.Object({ models: Type.Array(ServedModelRef) });
export type ServedModelsAnswer = Static<typeof ServedModelsAnswer>;

/** A default, so that the body itself may be left out. */
export const PlacesRequest = closed(
  {
    gpu_ids: Type.Optional(
      Type.Array(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), {
        minItems: 1,
        maxItems: 1024,
        allowed: "a list of ids of GPUs",
        description: "On these GPUs; without it, on all that may hold it.",
      }),
    ),
  },
  { title: "PlacesRequest", default: {}, examples: [{ gpu_ids: [0, 1] }] },
);
export type PlacesRequest = Static<typeof PlacesRequest>;

const MAX_SOURCE_BYTES = 2048;

export const PullRequest = closed(
  {
    source: Type.String({
      minLength: 1,
      maxBytes: MAX_SOURCE_BYTES,
      description:
        "hf:<owner>/<repo>/<file>.gguf[@revision], hf:<owner>/<repo>[:<quantization>], or a name of the built-in table; an https URL where models_allow_urls is true.",
    }),
    name: Type.Optional(
      Type.String({ minLength: 1, maxLength: 128, description: "What requests shall call it; else a short name." }),
    ),
  },
  { title: "PullRequest", examples: [{ source: "smollm2-135m" }] },
);
export type PullRequest = Static<typeof PullRequest>;
