/**
 * llama.cpp's server, run by somebody else. Its routes: tools/server/README.md there; `/slots` may be switched off, and `/metrics` is
 * there with `--metrics` only. It does not tell how full its KV cache is. A request that is closed is aborted after its present step.
 */
import type { TextRequest } from "../../request.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { contextIn, nameIn, slotsIn } from "../upstream/figures.ts";
import { isObject, textIn } from "../../common/json-values.ts";
import { ask, askFor, askForText, type Dialect } from "./dialect.ts";
import { sumOf } from "./prometheus.ts";
import { ALL_ABILITIES } from "./answer-fields.ts";
import { harmless } from "./llama-cpp-texts.ts";
import { promptFields } from "./questions.ts";
import { ALL_FIELDS } from "./sampling-fields.ts";

/** For it this is no seed, but the wish for any. */
const RANDOM_SEED = 2 ** 32 - 1;

export const LLAMA_CPP: Dialect = {
  name: "llama-server",
  owner: "llamacpp",
  separatesStreams: true,
  about: async (upstream, { meta }) => {
    const props = await ask(upstream, "/props");
    const caps = props?.chat_template_caps;
    const { n_ctx } = isObject(props?.default_generation_settings) ? props.default_generation_settings : {};
    return {
      version: nameIn(props?.build_info),
      context: contextIn(n_ctx) ?? (isObject(meta) ? contextIn(meta.n_ctx) : null),
      slots: slotsIn(props?.total_slots),
      // Of a model that has none it tells the one that it uses instead.
      ...(textIn(props?.chat_template) !== null && { hasChatTemplate: true }),
      // It tells such a model of no tools, and says nothing of that.
      ...(isObject(caps) && caps.supports_tools === false && { lacks: ["tools"] as const }),
    };
  },
  extras: {
    honours: ALL_FIELDS,
    // Its route for completions reads no response_format, but a grammar.
    can: { ...ALL_ABILITIES, grammars: ["completion"] },
    endless: { chat: {} },
    fields: ({ request: { sampling } }) => (sampling.seed === RANDOM_SEED ? { seed: RANDOM_SEED - 1 } : {}),
  },
  harmless,
  countTokens: async (upstream, { request }) => {
    const content = await promptOf(upstream, request);
    const answer = content === null ? null : await ask(upstream, "/tokenize", { content, add_special: true });
    return Array.isArray(answer?.tokens) ? answer.tokens.length : null;
  },
  // Started with --embeddings it fails at everything else.
  statusOf: (words) => (words.includes("does not support logits") ? 501 : null),
  figures: async (upstream) => {
    const [slots, metrics] = await Promise.all([busySlots(upstream), askForText(upstream, "/metrics")]);
    if (slots === null && metrics === null) return null;
    const told = metrics ?? "";
    return {
      running: sumOf(told, "llamacpp:requests_processing") ?? slots?.busy ?? null,
      waiting: sumOf(told, "llamacpp:requests_deferred"),
      kvCacheUse: null,
      slots: slots?.all || null,
    };
  },
};

async function promptOf(upstream: Upstream, request: TextRequest): Promise<string | null> {
  if (request.kind === "completion") return request.text;
  return textIn((await ask(upstream, "/apply-template", promptFields(request)))?.prompt);
}

async function busySlots(upstream: Upstream): Promise<{ busy: number; all: number } | null> {
  const slots = await askFor(upstream, "/slots");
  if (!Array.isArray(slots) || !slots.every(isObject)) return null;
  return { busy: slots.filter(({ is_processing }) => is_processing === true).length, all: slots.length };
}
