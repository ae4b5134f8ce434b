/**
 * SGLang. Its fields: `CompletionRequest` in python/sglang/srt/entrypoints/openai/protocol.py, where `rid` names a request for
 * `POST /abort_request`. Its load: `GET /v1/loads` (v1_loads.py there, and `GetLoadsReqOutput` in srt/managers/io_struct.py); before that
 * came, only the metrics of `--enable-metrics` (https://docs.sglang.io/references/production_metrics.html).
 */
import type { Upstream } from "../upstream/upstream.ts";
import { contextIn, nameIn, wholeIn } from "../upstream/figures.ts";
import { isObject, numberIn } from "../../common/json-values.ts";
import { ask, askForText, type Dialect, type Figures } from "./dialect.ts";
import { highestOf, sumOf } from "./prometheus.ts";
import { promptFields } from "./questions.ts";
import { ALL_ABILITIES } from "./answer-fields.ts";
import { ALL_FIELDS } from "./sampling-fields.ts";

export const SGLANG: Dialect = {
  name: "SGLang",
  owner: "sglang",
  about: async (upstream, { max_model_len }) => ({
    version: nameIn(((await ask(upstream, "/server_info")) ?? (await ask(upstream, "/get_server_info")))?.version),
    context: contextIn(max_model_len),
    slots: null,
  }),
  extras: {
    honours: ALL_FIELDS,
    // For tools it has to be started with --tool-call-parser: https://docs.sglang.io/advanced_features/tool_parser.html.
    can: ALL_ABILITIES,
    endless: { chat: {}, completion: { max_tokens: null } },
    countsEachPiece: true,
    fields: ({ id }) => ({ rid: id }),
  },
  countTokens: async (upstream, { model, request }) =>
    wholeIn((await ask(upstream, "/tokenize", { model, ...promptFields(request) }))?.count),
  abort: (upstream, { id }) => upstream.ask("POST", "/abort_request", { rid: id }),
  figures: async (upstream) => (await loads(upstream)) ?? (await metrics(upstream)),
  // While nothing runs it renews its metrics every 30 s only.
  figuresLag: 35,
};

/** One entry for each of its schedulers. */
async function loads(upstream: Upstream): Promise<Figures | null> {
  const { loads: list } = (await ask(upstream, "/v1/loads?include=core")) ?? {};
  if (!Array.isArray(list) || !list.every(isObject) || list.length === 0) return null;
  const uses = list.map(({ token_usage }) => numberIn(token_usage)).filter((use) => use !== null);
  return {
    running: sum(list, "num_running_reqs"),
    waiting: sum(list, "num_waiting_reqs"),
    kvCacheUse: uses.length === 0 ? null : Math.max(...uses),
    slots: sum(list, "max_running_requests") || null,
  };
}

async function metrics(upstream: Upstream): Promise<Figures | null> {
  const text = await askForText(upstream, "/metrics");
  if (text === null) return null;
  return {
    running: sumOf(text, "sglang:num_running_reqs"),
    waiting: sumOf(text, "sglang:num_queue_reqs"),
    kvCacheUse: highestOf(text, "sglang:token_usage"),
    slots: null,
  };
}

/** null: one of them does not tell. */
function sum(list: readonly Record<string, unknown>[], key: string): number | null {
  return list.reduce<number | null>((total, entry) => {
    const value = wholeIn(entry[key]);
    return total === null || value === null ? null : total + value;
  }, 0);
}
