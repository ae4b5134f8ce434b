/**
 * Another ALT_LAS, asked by its own API: `POST /api/v1/predict` with the task's events as the answer; but for embeddings, and for what
 * that does not take, by its routes of OpenAI's protocol. One of before 0.2 knows neither chats nor models by name.
 */
import { type Capability, CAPABILITIES, SAMPLING_NAMES, type TextRequest, wholeSampling } from "../../request.ts";
import { EngineFailure } from "../failures.ts";
import { type Upstream, UpstreamError } from "../upstream/upstream.ts";
import { contextIn, slotsIn, wholeIn } from "../upstream/figures.ts";
import { isObject, textIn } from "../../common/json-values.ts";
import { objectIn } from "../upstream/json-fields.ts";
import { AltLasAnswer } from "./alt-las-answer.ts";
import type { Answer } from "./answer.ts";
import {
  type About,
  ask,
  type Dialect,
  type Extras,
  type ModelCard,
  type Order,
  type Question,
  valueOf,
} from "./dialect.ts";
import { promptFields, questionFor } from "./questions.ts";
import { ALL_ABILITIES, answerFields } from "./answer-fields.ts";
import { ALL_FIELDS } from "./sampling-fields.ts";

/** Of its routes of OpenAI's protocol. */
const EXTRAS: Extras = { honours: ALL_FIELDS, can: ALL_ABILITIES, endless: { chat: {} }, wholeVocabulary: 0 };

/** `predict` takes no higher temperature, as its document says. */
const HIGHEST_TEMPERATURE = 1;

export const ALT_LAS: Dialect = {
  name: "ALT_LAS",
  owner: null,
  recognize,
  about: async (upstream, { id }) => {
    const [models, gpus] = await Promise.all([modelsOf(upstream), gpusOf(upstream)]);
    const alone = gpus?.filter((gpu) => nameOf(gpu) === id) ?? [];
    const model = models?.find(({ name }) => name === id);
    return { version: null, slots: null, ...(model === undefined ? toldBy(alone) : listedAs(model, alone)) };
  },
  extras: EXTRAS,
  ask: (order) =>
    order.request.sampling.temperature > HIGHEST_TEMPERATURE ? questionFor(order, EXTRAS) : predict(order),
  figures: async (upstream) => {
    const gpus = await gpusOf(upstream);
    if (gpus === null) return null;
    const serving = gpus.filter(({ status }) => status === "ready");
    const running = gpus.reduce((total, { task_count }) => total + (wholeIn(task_count) ?? 0), 0);
    const slots = serving.reduce((total, gpu) => total + (slotsIn(gpu.slots) ?? 0), 0);
    return { running, waiting: null, kvCacheUse: null, slots };
  },
};

type Fields = Readonly<Record<string, unknown>>;
type Gpu = Fields;

/** @throws {UpstreamError} it is one, and refuses the key */
async function recognize(upstream: Upstream, listed: readonly ModelCard[]): Promise<readonly ModelCard[] | null> {
  const answer = await upstream.ask("GET", "/api/v1/gpus").catch(() => null);
  const value = answer === null ? null : valueOf(answer);
  if (answer === null || !isObject(value)) return null;
  if (answer.status === 401 && value.code === "unauthorized") throw upstream.refusal(answer);
  const { gpus } = value;
  if (!areFields(gpus)) return null;
  const models = await modelsOf(upstream);
  return models === null ? cardsOf(gpus) : models.flatMap((model) => cardOf(model, listed, gpus));
}

async function gpusOf(upstream: Upstream): Promise<readonly Gpu[] | null> {
  const { gpus } = (await ask(upstream, "/api/v1/gpus")) ?? {};
  return areFields(gpus) ? gpus : null;
}

/** All that its requests can name, loaded or not; null: it is one of before there were models by name. */
async function modelsOf(upstream: Upstream): Promise<readonly Fields[] | null> {
  const { models } = (await ask(upstream, "/api/v1/models")) ?? {};
  return areFields(models) ? models : null;
}

function areFields(value: unknown): value is readonly Fields[] {
  return Array.isArray(value) && value.every(isObject);
}

/** The name in requests of the only model that a GPU may hold; null: it may hold several, or none is loaded. */
function nameOf({ model_name, model }: Gpu): string | null {
  return textIn(model_name) ?? textIn(model);
}

/** Of one that has no models by name. */
function cardsOf(gpus: readonly Gpu[]): ModelCard[] {
  const cards = new Map<string, ModelCard>();
  for (const gpu of gpus) {
    const id = nameOf(gpu);
    if (id !== null) cards.set(id, { id, aliases: [gpu.model] });
  }
  return [...cards.values()];
}

/** @param listed what its route of OpenAI's protocol lists: a GPU's own model has no name for requests before it is loaded */
function cardOf({ name, aliases }: Fields, listed: readonly ModelCard[], gpus: readonly Gpu[]): ModelCard | [] {
  const card = listed.find(({ id }) => id === name);
  if (card === undefined) return [];
  const shown = gpus.filter((gpu) => nameOf(gpu) === card.id).map(({ model }) => model);
  return { id: card.id, aliases: [...(Array.isArray(aliases) ? aliases : []), ...shown] };
}

/** @param alone the GPUs that hold nothing else */
function listedAs({ context, capabilities }: Fields, alone: readonly Gpu[]): Partial<About> & Pick<About, "context"> {
  const told = capabilitiesIn([capabilities]);
  return {
    context: contextIn(context),
    ...(told.length === 0 ? { isUnloaded: true } : { capabilities: told }),
    ...templateOn(alone),
  };
}

/** @param gpus those that have the model; none: it could not be asked */
function toldBy(gpus: readonly Gpu[]): Partial<About> & Pick<About, "context"> {
  const contexts = gpus.map(({ context }) => contextIn(context)).filter((context) => context !== null);
  if (gpus.length === 0) return { context: null };
  const capabilities = capabilitiesIn(gpus.map((gpu) => gpu.capabilities));
  return {
    // It finds a GPU that has room for a prompt, if one has.
    context: contexts.length === 0 ? null : Math.max(...contexts),
    ...(capabilities.length === 0 ? OLD : { capabilities, ...templateOn(gpus) }),
  };
}

/** The capabilities that are in any of several lists. */
function capabilitiesIn(lists: readonly unknown[]): readonly Capability[] {
  const told = new Set(lists.flatMap((list: unknown): readonly unknown[] => (Array.isArray(list) ? list : [])));
  return CAPABILITIES.filter((capability) => told.has(capability));
}

function templateOn(gpus: readonly Gpu[]): Pick<About, "hasChatTemplate"> {
  const templates = gpus.map(({ chat_template }) => chat_template).filter((has) => typeof has === "boolean");
  return templates.length > 0 ? { hasChatTemplate: templates.includes(true) } : {};
}

/** Of before 0.2. */
const OLD: Partial<About> = { capabilities: ["completion"] satisfies Capability[], honours: [] };

/** Its tasks outlive a lost connection unless they are told not to. */
function predict({ model, request, about }: Order): Question {
  const { maxTokens, temperature } = wholeSampling(request);
  const isOld = about.honours?.length === 0;
  let attempt: number | null = null;
  let received = new AltLasAnswer();
  return {
    waits: () => attempt === null,
    path: "/api/v1/predict",
    body: {
      ...(request.kind === "chat" ? promptFields(request) : { text: request.text.toWellFormed() }),
      // Whether it is a user's message was decided here.
      ...(!isOld && { model, ...(request.kind === "completion" && { raw: true }), ...saidOf(request) }),
      max_length: maxTokens,
      temperature,
      stream: true,
      cancel_on_disconnect: true,
    },
    read: (answer, data, event) => {
      if (event === undefined) return false;
      const body = objectIn(data);
      switch (event) {
        case "placed":
          attempt = placed(answer, attempt, wholeIn(body.attempt));
          if (!answer.hasBegun) received = new AltLasAnswer();
          // It may read a long prompt now.
          return false;
        case "token":
          return received.piece(answer, body);
        case "completed":
          return received.complete(answer, body);
        case "failed":
        case "canceled":
          throw failureOf(body);
        default:
          return false;
      }
    },
  };
}

/** The fields that a request says itself; its defaults are the same there. */
function saidOf(request: TextRequest): Readonly<Record<string, unknown>> {
  const { logprobs, ...rest } = request;
  const { sampling } = rest;
  const fields: Record<string, unknown> = { ...answerFields(rest, ALL_ABILITIES), logprobs };
  for (const [field, name] of Object.entries(SAMPLING_NAMES))
    fields[name] = sampling[field as keyof typeof SAMPLING_NAMES];
  return fields;
}

/** A new attempt begins its text anew, and what was handed on of the one before cannot be taken back. */
function placed(answer: Answer, before: number | null, attempt: number | null): number | null {
  if (before !== null && attempt !== before && answer.hasBegun)
    throw new UpstreamError(null, "it lost the task, and begins anew");
  return attempt;
}

/** A failure that would happen everywhere is the task's own; any other was bad luck there. */
function failureOf({ error, error_code: code, status }: Record<string, unknown>): Error {
  const words = textIn(error) ?? `the task was ${String(status)} there`;
  if (code === "prompt_too_long" || code === "model_error" || code === "out_of_memory" || code === "unsupported")
    return new EngineFailure(code, words);
  return new UpstreamError(500, words);
}
