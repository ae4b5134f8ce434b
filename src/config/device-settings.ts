/** The schema of the entries of `gpu.devices`. */
import { type Static, Type } from "../common/type.ts";
import { KV_CACHE_TYPES } from "../engine/engine.ts";
import { ENGINE_KINDS } from "../engine/kinds.ts";
import { either, NonEmpty } from "./section.ts";

/** Patterns that name a GPU of this machine; `GPU_ID` also fits the first digits of a UUID, and AMD's bus ids. */
const GPU_ID = "gpu:\\d+|(GPU|MIG|AMD)-[0-9A-Za-z:./-]+";
const STAND_IN = "(cpu|simulated):[1-9]\\d{0,3}";
const GPU_ALLOWED = '"gpu:INDEX", an index or a GPU\'s UUID';
export const DEVICE_ALLOWED = '"auto", "cpu:N", "simulated:N", "gpu:INDEX", an index or a GPU\'s UUID';

/** A name that fits the pattern, or a GPU's number. */
function deviceName(pattern: string, allowed: string) {
  return Type.Union([Type.String({ pattern: `^(${pattern})$` }), Type.Integer({ minimum: 0 })], { allowed });
}

const Share = Type.Number({ minimum: 0, maximum: 1 });
const Slots = Type.Integer({ minimum: 1, maximum: 256 });
const Celsius = Type.Number({ minimum: 20, maximum: 120 });
const ContextTokens = Type.Integer({ minimum: 16 });
const Threads = Type.Integer({ minimum: 1, maximum: 1024 });
const EngineKind = Type.Enum([...ENGINE_KINDS]);
export const STEP_TOKENS = { minimum: 1, maximum: 65_536 };
const StepTokens = Type.Integer(STEP_TOKENS);
export const PATIENCE = { minimum: 0.1, maximum: 86_400 };
export const FLASH_ATTENTION = { enum: ["auto", true, false], allowed: "auto, true or false" };
const FlashAttention = Type.Unsafe<boolean | "auto">(FLASH_ATTENTION);
const KvCacheType = Type.Enum(["auto", ...KV_CACHE_TYPES]);

/** Settings that an engine may have for one device. */
export const EngineSettings = Type.Object(
  {
    kind: Type.Optional(EngineKind),
    model: Type.Optional(NonEmpty),
    context: Type.Optional(ContextTokens),
    min_context: Type.Optional(ContextTokens),
    raw: Type.Optional(Type.Boolean()),
    threads: Type.Optional(Threads),
    prefill_chunk: Type.Optional(StepTokens),
    batch_size: Type.Optional(StepTokens),
    flash_attention: Type.Optional(FlashAttention),
    kv_cache_type: Type.Optional(KvCacheType),
    binary: Type.Optional(NonEmpty),
    url: Type.Optional(NonEmpty),
    api_key: Type.Optional(Type.String({ minLength: 1, secret: true })),
    first_byte_timeout: Type.Optional(Type.Number(PATIENCE)),
    token_timeout: Type.Optional(Type.Number(PATIENCE)),
  },
  { additionalProperties: false },
);
export type EngineSettings = Static<typeof EngineSettings>;

/** Settings of one device; a missing one is as for all devices. */
const DeviceSettings = Type.Object(
  {
    gpu: Type.Optional(
      deviceName(`${STAND_IN}|${GPU_ID}`, '"cpu:N", "simulated:N", "gpu:INDEX", an index or a GPU\'s UUID'),
    ),
    gpus: Type.Optional(Type.Array(deviceName(GPU_ID, GPU_ALLOWED), { minItems: 1 })),
    memory_bytes: Type.Optional(Type.Integer({ minimum: 1 })),
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 100, allowed: "a string of 1 to 100 characters" })),
    slots: Type.Optional(Slots),
    memory_threshold: Type.Optional(Share),
    utilization_threshold: Type.Optional(Share),
    max_temperature: Type.Optional(Celsius),
    engine: Type.Optional(EngineSettings),
  },
  { additionalProperties: false },
);
export type DeviceSettings = Static<typeof DeviceSettings>;

const DeviceName = deviceName(`auto|${STAND_IN}|${GPU_ID}`, `${DEVICE_ALLOWED}, or an object with settings`);
/** One entry of `gpu.devices`. */
export type DeviceEntry = Static<typeof DeviceName> | DeviceSettings;
export const DeviceEntry = Type.Unsafe<DeviceEntry>(either("object", DeviceSettings, DeviceName));
