/**
 * TensorRT-LLM's trtllm-serve, which refuses fields it does not know: `CompletionRequest` in tensorrt_llm/serve/openai_protocol.py. Its
 * `/metrics` hands each figure to whoever asks first, so that the operator's own monitoring would miss what we take; we ask only for
 * those of Prometheus, which are there with `return_perf_metrics`. A request that is closed is aborted within a second.
 */
import { nameIn } from "../upstream/figures.ts";
import { ask, askForText, type Dialect } from "./dialect.ts";
import { highestOf, sumOf } from "./prometheus.ts";
import { ALL_ABILITIES } from "./answer-fields.ts";
import { ALL_FIELDS } from "./sampling-fields.ts";

export const TENSORRT_LLM: Dialect = {
  name: "TensorRT-LLM",
  owner: "tensorrt_llm",
  about: async (upstream) => ({
    version: nameIn((await ask(upstream, "/version"))?.version),
    context: null,
    slots: null,
  }),
  extras: {
    honours: ALL_FIELDS,
    // A form needs its guided_decoding_backend, and tools its --tool_parser.
    can: { ...ALL_ABILITIES, alwaysParallel: true },
    endless: { chat: {}, completion: {} },
    countsEachPiece: true,
    wholeVocabulary: 0,
  },
  figures: async (upstream) => {
    const metrics = await askForText(upstream, "/prometheus/metrics");
    if (metrics === null) return null;
    return {
      running: sumOf(metrics, "trtllm_num_requests_running"),
      waiting: sumOf(metrics, "trtllm_num_requests_waiting"),
      kvCacheUse: highestOf(metrics, "trtllm_kv_cache_utilization"),
      slots: null,
    };
  },
};
