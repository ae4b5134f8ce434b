/**
 * vLLM. Its fields: `CompletionRequest` in vllm/entrypoints/openai/completion/protocol.py; `max_model_len` stands in its list of models;
 * its metrics: https://docs.vllm.ai/en/latest/usage/metrics. A request that is closed is aborted. For `tool_choice: auto` it has to be started with
 * --enable-auto-tool-choice and --tool-call-parser (https://docs.vllm.ai/en/latest/features/tool_calling), and refuses it else.
 */
import { contextIn, nameIn, wholeIn } from "../upstream/figures.ts";
import { ask, askForText, type Dialect } from "./dialect.ts";
import { highestOf, sumOf } from "./prometheus.ts";
import { promptFields } from "./questions.ts";
import { ALL_ABILITIES } from "./answer-fields.ts";
import { ALL_FIELDS } from "./sampling-fields.ts";

export const VLLM: Dialect = {
  name: "vLLM",
  owner: "vllm",
  about: async (upstream, { max_model_len }) => ({
    version: nameIn((await ask(upstream, "/version"))?.version),
    context: contextIn(max_model_len),
    slots: null,
  }),
  extras: {
    honours: ALL_FIELDS,
    can: ALL_ABILITIES,
    endless: { chat: {}, completion: { max_tokens: null } },
    countsEachPiece: true,
  },
  countTokens: async (upstream, { model, request }) =>
    wholeIn((await ask(upstream, "/tokenize", { model, ...promptFields(request) }))?.count),
  figures: async (upstream) => {
    const metrics = await askForText(upstream, "/metrics");
    if (metrics === null) return null;
    return {
      running: sumOf(metrics, "vllm:num_requests_running"),
      waiting: sumOf(metrics, "vllm:num_requests_waiting"),
      // The second is what it was called before 0.10.
      kvCacheUse: highestOf(metrics, "vllm:kv_cache_usage_perc") ?? highestOf(metrics, "vllm:gpu_cache_usage_perc"),
      slots: null,
    };
  },
};
