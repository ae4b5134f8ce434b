/**
 * llama.cpp's server, run by somebody else. Its routes: tools/server/README.md there; `/slots` may be switched off, and `/metrics` is
 * there with `--metrics` only. It does not tell how full its KV cache is. A request that is closed is aborted after its present step.
 */
import { continuedText } from "../../request.ts";
import { type Upstream } from "../upstream/upstream.ts";
import { contextIn, nameIn, slotsIn } from "../upstream/figures.ts";
import { isObject } from "../upstream/json-fields.ts";
import { completion } from "./completions.ts";
import { ask, askFor, askForText, type Dialect } from "./dialect.ts";
import { sumOf } from "./prometheus.ts";

export const LLAMA_CPP: Dialect = {
  name: "llama-server",
  owner: "llamacpp",
  separatesStreams: true,
  about: async (upstream, { meta }) => {
    const props = await ask(upstream, "/props");
    const { n_ctx } = isObject(props?.default_generation_settings) ? props.default_generation_settings : {};
    return {
      version: nameIn(props?.build_info),
      context: contextIn(n_ctx) ?? (isObject(meta) ? contextIn(meta.n_ctx) : null),
      slots: slotsIn(props?.total_slots),
    };
  },
  ask: (order) => completion(order, { samplers: true, countsEachPiece: false }),
  countTokens: async (upstream, { request }) => {
    const answer = await ask(upstream, "/tokenize", { content: continuedText(request), add_special: true });
    return Array.isArray(answer?.tokens) ? answer.tokens.length : null;
  },
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

async function busySlots(upstream: Upstream): Promise<{ busy: number; all: number } | null> {
  const slots = await askFor(upstream, "/slots");
  if (!Array.isArray(slots) || !slots.every(isObject)) return null;
  return { busy: slots.filter(({ is_processing }) => is_processing === true).length, all: slots.length };
}
