/** Finds out which kind of server answers at an address, and whether it has the model. */
import { EngineFailure } from "../failures.ts";
import { type Upstream, type UpstreamAnswer, UpstreamError } from "../upstream/upstream.ts";
import { ALT_LAS } from "./alt-las.ts";
import { nameIn } from "../upstream/figures.ts";
import { isObject } from "../../common/json-values.ts";
import { type Dialect, type ModelCard, valueOf } from "./dialect.ts";
import { LLAMA_CPP } from "./llama-cpp.ts";
import { OLLAMA } from "./ollama.ts";
import { PLAIN } from "./plain.ts";
import { SGLANG } from "./sglang.ts";
import { TENSORRT_LLM } from "./tensorrt-llm.ts";
import { TGI } from "./tgi.ts";
import { VLLM } from "./vllm.ts";

/** All that are told apart, in the order in which they are tried. */
export const DIALECTS: readonly Dialect[] = [VLLM, SGLANG, LLAMA_CPP, TENSORRT_LLM, TGI, ALT_LAS, OLLAMA];

export interface Served {
  readonly dialect: Dialect;
  readonly model: ModelCard;
}

export interface Wanted {
  /** The server's address, for sentences. */
  readonly where: string;
  /** "": the one it serves. */
  readonly model: string;
  readonly hasKey: boolean;
}

/**
 * Asks for its models, and what it is.
 * @throws {EngineFailure} `gpu_lost`: it cannot be reached, or is not ready; `model_error`: it wants another key, lacks the model, or is no
 *   server for this
 */
export async function identify(upstream: Upstream, wanted: Wanted): Promise<Served> {
  try {
    return await find(upstream, wanted);
  } catch (error) {
    throw error instanceof UpstreamError ? unusable(error, wanted) : error;
  }
}

async function find(upstream: Upstream, wanted: Wanted): Promise<Served> {
  const answer = await upstream.ask("GET", "/v1/models");
  const listed = modelsIn(answer);
  const dialect = DIALECTS.find(({ owner }) => owner !== null && listed?.some(({ owned_by }) => owned_by === owner));
  if (listed !== null && dialect !== undefined) return { dialect, model: choose(listed, dialect, wanted) };
  // A server that refuses the key, or is not ready, would do so at every route.
  const refuses = answer.status === 401 || answer.status === 403 || answer.status === 429 || answer.status >= 500;
  const found = refuses ? null : await recognize(upstream, listed ?? []);
  if (found !== null) return { dialect: found.dialect, model: choose(found.models, found.dialect, wanted) };
  if (listed === null) throw upstream.refusal(answer);
  return { dialect: PLAIN, model: choose(listed, PLAIN, wanted) };
}

/** The meaning of a server's refusal while nothing has been served yet. */
export function unusable(error: UpstreamError, { where, hasKey }: Omit<Wanted, "model">): EngineFailure {
  const { status, message } = error;
  const said = message.replace(/\.$/, "");
  if (status === null) return new EngineFailure("gpu_lost", `The server at ${where} cannot be used now: ${said}.`);
  if (status === 401 || status === 403) {
    const wants = hasKey ? "refuses the key of engine.api_key" : "needs a key (engine.api_key)";
    return new EngineFailure("model_error", `The server at ${where} ${wants}: ${said}.`);
  }
  if (status === 429 || status >= 500)
    return new EngineFailure("gpu_lost", `The server at ${where} is not ready: ${said}.`);
  return new EngineFailure(
    "model_error",
    `The server at ${where} does not speak OpenAI's protocol: it answered HTTP ${status}: ${error.words.replace(/\.$/, "")}.`,
  );
}

async function recognize(
  upstream: Upstream,
  listed: readonly ModelCard[],
): Promise<{ dialect: Dialect; models: readonly ModelCard[] } | null> {
  for (const dialect of DIALECTS) {
    const models = (await dialect.recognize?.(upstream, listed)) ?? null;
    if (models !== null) return { dialect, models };
  }
  return null;
}

function choose(models: readonly ModelCard[], { name }: Dialect, { where, model: wanted }: Wanted): ModelCard {
  const model = wanted === "" ? models[0] : models.find(({ id, aliases }) => [id, aliases].flat().includes(wanted));
  if (model !== undefined) return model;
  if (models.length === 0) throw new EngineFailure("gpu_lost", `${name} at ${where} has no model yet.`);
  const names = models.map(({ id }) => id).slice(0, 20);
  throw new EngineFailure("model_error", `${name} at ${where} has no model ${wanted}; it has ${names.join(", ")}.`);
}

/** null: it is no list as OpenAI's protocol has it. */
function modelsIn(answer: UpstreamAnswer): readonly ModelCard[] | null {
  const value = valueOf(answer);
  if (answer.status !== 200 || !isObject(value) || !Array.isArray(value.data)) return null;
  return value.data.filter((card): card is ModelCard => isObject(card) && nameIn(card.id) !== null);
}
