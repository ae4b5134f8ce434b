/**
 * Text Generation Inference. Its fields, its metrics and what follows: router/src/lib.rs, server.rs, infer/mod.rs and validation.rs of
 * huggingface/text-generation-inference, `backends/v3` for the gauges. It takes `model` for the name of an adapter, unless it is "tgi";
 * it begins to answer before it looks at a task, so that a refusal comes as an event that always claims to be a 422.
 */
import { contextIn, nameIn } from "../upstream/figures.ts";
import { ask, askFor, askForText, type Dialect } from "./dialect.ts";
import { schemaObject } from "./answer-fields.ts";
import { sumOf } from "./prometheus.ts";
import { promptFields } from "./questions.ts";

const ANY_OBJECT = { type: "object" };

export const TGI: Dialect = {
  name: "TGI",
  owner: null,
  recognize: async (upstream, listed) => {
    const info = await ask(upstream, "/info");
    const model = nameIn(info?.model_id);
    if (model === null || contextIn(info?.max_total_tokens) === null) return null;
    return listed.length > 0 ? listed : [{ id: model }];
  },
  about: async (upstream) => {
    const info = await ask(upstream, "/info");
    return { version: nameIn(info?.version), context: contextIn(info?.max_total_tokens), slots: null };
  },
  extras: {
    // Its presence_penalty is another thing by that name, and it reads no logit_bias.
    honours: ["top_p", "seed", "frequency_penalty", "stop"],
    // As its chats alone have them; it writes no more than one call.
    can: {
      json_schema: ["chat"],
      logprobs: ["chat"],
      tools: ["auto", "required", "named"],
      alwaysParallel: true,
      formFields: (format) => {
        const value = format.kind === "json" ? ANY_OBJECT : schemaObject(format.schema);
        return { response_format: { type: "json_object", value } };
      },
    },
    // Without a number it ends after 100 tokens.
    endless: {},
    // --max-stop-sequences, as it is unless told otherwise.
    mostStops: 4,
    topPBelowOne: true,
    fields: () => ({ model: "tgi" }),
  },
  countTokens: async (upstream, { request }) => {
    const tokens =
      request.kind === "chat"
        ? (await ask(upstream, "/chat_tokenize", { model: "tgi", ...promptFields(request) }))?.tokenize_response
        : await askFor(upstream, "/tokenize", { inputs: request.text });
    return Array.isArray(tokens) ? tokens.length : null;
  },
  figures: async (upstream) => {
    const metrics = await askForText(upstream, "/metrics");
    if (metrics === null) return null;
    const running = sumOf(metrics, "tgi_batch_current_size");
    return { running, waiting: sumOf(metrics, "tgi_queue_size"), kvCacheUse: null, slots: null };
  },
  statusOf: (words) => {
    if (words.startsWith("Model is overloaded")) return 429;
    return /^(Request failed during generation|Incomplete generation)/.test(words) ? 500 : null;
  },
};
