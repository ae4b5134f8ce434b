/** How a llama.cpp server is to be started: its arguments, its environment, and why so. */
import type { EngineOptions, EngineSetting } from "../engine.ts";
import type { FoundTemplate } from "../llama/chat-template.ts";
import type { ModelHeader } from "../llama/header.ts";
import { batchSizeFor } from "../llama/batch.ts";
import { flashAttentionFor, rawSetting, settingsOf, threadsFor } from "../llama/settings.ts";
import type { MemoryPlan } from "../memory-plan.ts";
import type { ServerDevice } from "./devices.ts";
import type { PrivateAddress } from "./process.ts";

/** More than any model has. */
const ALL_LAYERS = 999;

/**
 * The settings for its start: it decodes all that there is together, up to its batch size, so that this is what keeps a step down to
 * `prefill_chunk` tokens of prompts beside a token of each slot.
 */
export function serverOptions(options: EngineOptions): EngineOptions {
  const batchSize = Math.min(batchSizeFor(options, options.slots), options.tuning.prefillChunk + options.slots);
  return { ...options, tuning: { ...options.tuning, batchSize } };
}

export interface Command {
  readonly program: string;
  readonly options: EngineOptions;
  readonly header: ModelHeader;
  readonly plan: MemoryPlan;
  readonly chat: FoundTemplate;
  /** The accelerators that it is to use; none: the CPU. */
  readonly devices: readonly ServerDevice[];
  readonly address: PrivateAddress;
}

/** Only what has been in llama.cpp's server for years: it refuses to start with an argument that it does not know. */
export function argumentsFor({ options, header, plan, address, devices }: Command): string[] {
  // A model for embeddings sees a text as a whole.
  const batchSize = header.generates ? batchSizeFor(serverOptions(options), plan.slots) : plan.context;
  const isOnGpu = devices.length > 0;
  const values = {
    "--model": options.model,
    ...listenAt(address),
    "--parallel": plan.slots,
    // For all slots together, which share it out evenly.
    "--ctx-size": plan.context * plan.slots,
    "--threads": threadsFor(options),
    "--batch-size": batchSize,
    "--ubatch-size": batchSize,
    ...flashAttention(options, header),
    "--cache-type-k": plan.kvCacheType,
    "--cache-type-v": plan.kvCacheType,
    "--device": isOnGpu ? devices.map(({ name }) => name).join(",") : "none",
    "--n-gpu-layers": isOnGpu ? ALL_LAYERS : 0,
    // It parses the model's own template when it starts, and gives up when it cannot; nobody here asks it for a chat.
    "--chat-template": "chatml",
  };
  const switches = ["--slots", "--no-webui", "--no-context-shift", ...(header.generates ? [] : ["--embeddings"])];
  return [...Object.entries(values).flat().map(String), ...switches];
}

/** By itself it looks whether the device has it for this model. */
function flashAttention(options: EngineOptions, header: ModelHeader): Record<string, string> {
  const wanted = flashAttentionFor(options, header);
  return wanted === "auto" ? {} : { "--flash-attn": wanted ? "on" : "off" };
}

function listenAt({ url, socketPath }: PrivateAddress): Record<string, string> {
  if (socketPath !== null) return { "--host": socketPath };
  const { hostname, port } = new URL(url);
  return { "--host": hostname, "--port": port };
}

/**
 * Newer options of llama.cpp's server go by its environment, where an older one ignores them. An operator's own `LLAMA_ARG_…` come
 * first, but for those with which it could not be reached.
 * @param key without which it answers nobody, where others can reach its port
 */
export function environmentFor(environment: NodeJS.ProcessEnv, key: string): NodeJS.ProcessEnv {
  return {
    // Its cache of prompts in the machine's memory is in no plan, and copying a slot there makes all the others wait.
    LLAMA_ARG_CACHE_RAM: "0",
    // The plan has decided.
    LLAMA_ARG_FIT: "off",
    LLAMA_ARG_KV_UNIFIED: "off",
    ...environment,
    LLAMA_API_KEY: key,
    LLAMA_ARG_API_PREFIX: undefined,
    LLAMA_ARG_SSL_KEY_FILE: undefined,
    LLAMA_ARG_SSL_CERT_FILE: undefined,
    AIP_MODE: undefined,
  };
}

/** @param version what the server calls its own */
export function settingsFor({ program, options, header, plan, chat }: Command, version: string): EngineSetting[] {
  const settings = settingsOf({ options, header, plan, refusedType: null });
  const binary = { name: "binary", value: program, reason: `as engine.binary has it; it is llama-server ${version}` };
  if (!header.generates) return [binary, ...settings];
  const batchSize = batchSizeFor(serverOptions(options), plan.slots);
  return [
    binary,
    ...settings.map((setting) =>
      setting.name === "batch_size" && batchSize < Number(setting.value)
        ? { ...setting, value: batchSize, reason: "prefill_chunk, and a token of each slot" }
        : setting,
    ),
    rawSetting(options, chat.template !== null, chat.problem),
  ];
}
