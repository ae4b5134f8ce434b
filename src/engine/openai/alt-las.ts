/** Another ALT_LAS, asked by its own API: `POST /api/v1/predict` with the task's events as the answer. */
import { continuedText } from "../../request.ts";
import { EngineFailure } from "../failures.ts";
import { type Upstream, UpstreamError } from "../upstream/upstream.ts";
import { contextIn, slotsIn, wholeIn } from "../upstream/figures.ts";
import { isObject, objectIn, textIn } from "../upstream/json-fields.ts";
import { type Answer } from "./answer.ts";
import { ask, type Dialect, type ModelCard, type Order, type Question, valueOf } from "./dialect.ts";

export const ALT_LAS: Dialect = {
  name: "ALT_LAS",
  owner: null,
  recognize,
  about: async (upstream, { id }) => {
    const gpus = ((await gpusOf(upstream)) ?? []).filter(({ model }) => model === id);
    const contexts = gpus.map(({ context }) => contextIn(context)).filter((context) => context !== null);
    // It finds a GPU that has room for a prompt, if one has.
    return { version: null, context: contexts.length === 0 ? null : Math.max(...contexts), slots: null };
  },
  extras: { honours: [], endless: {} },
  ask: predict,
  figures: async (upstream) => {
    const gpus = await gpusOf(upstream);
    if (gpus === null) return null;
    const serving = gpus.filter(({ status }) => status === "ready");
    const running = gpus.reduce((total, { task_count }) => total + (wholeIn(task_count) ?? 0), 0);
    const slots = serving.reduce((total, gpu) => total + (slotsIn(gpu.slots) ?? 0), 0);
    return { running, waiting: null, kvCacheUse: null, slots };
  },
};

type Gpu = Readonly<Record<string, unknown>>;

/** @throws {UpstreamError} it is one, and refuses the key */
async function recognize(upstream: Upstream): Promise<readonly ModelCard[] | null> {
  const answer = await upstream.ask("GET", "/api/v1/gpus").catch(() => null);
  const value = answer === null ? null : valueOf(answer);
  if (answer === null || !isObject(value)) return null;
  if (answer.status === 401 && value.code === "unauthorized") throw upstream.refusal(answer);
  return isGpus(value.gpus) ? modelsOf(value.gpus) : null;
}

async function gpusOf(upstream: Upstream): Promise<readonly Gpu[] | null> {
  const { gpus } = (await ask(upstream, "/api/v1/gpus")) ?? {};
  return isGpus(gpus) ? gpus : null;
}

function isGpus(value: unknown): value is readonly Gpu[] {
  return Array.isArray(value) && value.every(isObject);
}

function modelsOf(gpus: readonly Gpu[]): ModelCard[] {
  const names = new Set(gpus.map(({ model }) => textIn(model)).filter((name) => name !== null));
  return [...names].map((id) => ({ id }));
}

/** Its tasks outlive a lost connection unless they are told not to. */
function predict({ request }: Order): Question {
  const text = continuedText(request);
  const { sampling } = request;
  let attempt: number | null = null;
  /** The text of this attempt so far. */
  let received = "";
  return {
    waits: () => attempt === null,
    path: "/api/v1/predict",
    body: {
      text: text.toWellFormed(),
      max_length: sampling.maxTokens,
      temperature: sampling.temperature,
      stream: true,
      cancel_on_disconnect: true,
    },
    read: (answer, data, event) => {
      if (event === undefined) return false;
      const body = objectIn(data);
      switch (event) {
        case "placed":
          attempt = placed(answer, attempt, wholeIn(body.attempt));
          if (!answer.hasBegun) received = "";
          // It may read a long prompt now.
          return false;
        case "token":
          if (typeof body.text !== "string") throw new UpstreamError(null, "it sent a piece of text that is none");
          received += body.text;
          return answer.add(body.text);
        case "completed":
          return complete(answer, body, received);
        case "failed":
        case "canceled":
          throw failureOf(body);
        default:
          return false;
      }
    },
  };
}

/** A new attempt begins its text anew, and what was handed on of the one before cannot be taken back. */
function placed(answer: Answer, before: number | null, attempt: number | null): number | null {
  if (before !== null && attempt !== before && answer.hasBegun)
    throw new UpstreamError(null, "it lost the task, and begins anew");
  return attempt;
}

/** @param received what of the text has come before, of which a piece may be lost; the end has all of it */
function complete(answer: Answer, { result }: Record<string, unknown>, received: string): void {
  if (!isObject(result)) throw new UpstreamError(null, "it told an end without a result");
  const { text, usage, finish_reason: reason } = result;
  if (typeof text !== "string") throw new UpstreamError(null, "it told an end without a text");
  if (!text.startsWith(received)) throw new UpstreamError(null, "it told an end with another text than it had sent");
  if (reason !== "stop" && reason !== "length") throw new UpstreamError(null, "it told an end without a reason");
  if (isObject(usage)) {
    const { prompt_tokens: prompt, completion_tokens: completion, cached_tokens: cached } = usage;
    answer.count({ prompt, completion, cached });
  }
  // Of an empty one no piece has come.
  answer.add(text.slice(received.length));
  answer.finish(reason);
}

/** A failure that would happen everywhere is the task's own; any other was bad luck there. */
function failureOf({ error, error_code: code, status }: Record<string, unknown>): Error {
  const words = textIn(error) ?? `the task was ${String(status)} there`;
  if (code === "prompt_too_long" || code === "model_error" || code === "out_of_memory")
    return new EngineFailure(code, words);
  return new UpstreamError(500, words);
}
