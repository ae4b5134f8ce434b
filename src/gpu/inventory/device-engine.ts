/** How a device computes: the settings of its entry, completed by those for all devices. */
import { fileURLToPath } from "node:url";
import type { Config, DeviceSettings, EngineSettings } from "../../config/config.ts";
import type { DeviceEngine } from "../../engine/engine.ts";
import { type EngineKind, engineTraits } from "../../engine/kinds.ts";

/** The model that is served when none is configured. */
export const DEMO_MODEL = fileURLToPath(new URL("../../../models/demo.gguf", import.meta.url));

export function engineOf({ engine: own = {} }: DeviceSettings, { engine }: Config): DeviceEngine {
  const context = own.context ?? engine.context ?? null;
  const kind = own.kind ?? engine.kind;
  return {
    kind,
    model: own.model ?? modelFor(kind, engine),
    context,
    // A smaller configured context is enough by itself.
    minContext: Math.min(own.min_context ?? engine.min_context, context ?? Infinity),
    // The chat template of a model that a server elsewhere has is not known here.
    raw: own.raw ?? engine.raw ?? engineTraits(kind).computes === "elsewhere",
    tuning: tuningOf(own, engine),
    binary: own.binary ?? engine.binary,
    upstream: null,
    patience: {
      firstByte: own.first_byte_timeout ?? engine.first_byte_timeout,
      token: own.token_timeout ?? engine.token_timeout,
    },
  };
}

/** A model's name on a server is no file here, and the other way round. */
function modelFor(kind: EngineKind, engine: Config["engine"]): string {
  const isName = engineTraits(kind).model === "name";
  const isMeant = isName === (engineTraits(engine.kind).model === "name");
  return (isMeant ? engine.model : undefined) ?? (isName ? "" : DEMO_MODEL);
}

function tuningOf(own: EngineSettings, engine: Config["engine"]): DeviceEngine["tuning"] {
  const flashAttention = own.flash_attention ?? engine.flash_attention;
  const kvCacheType = own.kv_cache_type ?? engine.kv_cache_type;
  return {
    threads: own.threads ?? engine.threads ?? null,
    prefillChunk: own.prefill_chunk ?? engine.prefill_chunk,
    batchSize: own.batch_size ?? engine.batch_size ?? null,
    flashAttention: flashAttention === "auto" ? null : flashAttention,
    kvCacheType: kvCacheType === "auto" ? null : kvCacheType,
  };
}
