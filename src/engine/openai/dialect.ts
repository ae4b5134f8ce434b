/** The differences between the servers that an `openai` engine can ask. */
import type { Capability, Request, SamplingName, TextRequest } from "../../request.ts";
import type { UpstreamFigures } from "../engine.ts";
import type { Upstream, UpstreamAnswer } from "../upstream/upstream.ts";
import { isObject, valueIn } from "../../common/json-values.ts";
import type { Answer } from "./answer.ts";
import type { Abilities } from "./answer-fields.ts";

/** A model as a server lists it: whatever it says of it. */
export type ModelCard = Readonly<Record<string, unknown>> & { readonly id: string };

/** A server's statement about itself; null: it makes none. */
export interface About {
  readonly version: string | null;
  /** Tokens that a prompt and its answer may have together. */
  readonly context: number | null;
  /** Requests that it works on at once; more wait there. */
  readonly slots: number | null;
  /** The capabilities of its model there; absent: they are found out by asking for them. */
  readonly capabilities?: readonly Capability[];
  /** The capabilities that its model lacks there, whatever the dialect can; absent: it does not tell. */
  readonly lacks?: readonly Capability[];
  /** Set: it is not loaded there before a task wants it, and more will be told then. */
  readonly isUnloaded?: boolean;
  /** Whether its model has a chat template; absent: it does not tell. */
  readonly hasChatTemplate?: boolean;
  /** The sampling fields that this version of it knows; absent: those of its dialect. */
  readonly honours?: readonly SamplingName[];
}

/** One task as it is to be asked for. */
export interface Order<Asked extends Request = TextRequest> {
  /** Names the request, where the server lets us. */
  readonly id: string;
  readonly model: string;
  readonly request: Asked;
  readonly about: About;
  /** Of the form that is asked for, where the route takes one. */
  readonly grammar?: string;
}

/** The fields that a server knows, OpenAI's and others. TensorRT-LLM and others refuse those that they don't know. */
export interface Extras {
  /** The sampling fields that it honours, by OpenAI's names. */
  readonly honours: readonly SamplingName[];
  /** Its abilities beside plain texts, as its documentation has them. */
  readonly can: Abilities;
  /** The fields in the place of `max_tokens` where an answer may go on to the end of the context; absent: there has to be a number. */
  readonly endless: Readonly<Partial<Record<TextRequest["kind"], { readonly max_tokens?: null }>>>;
  /** Whether it can say with each piece how many tokens there have been. */
  readonly countsEachPiece?: boolean;
  /** Stop sequences that it takes at most; those beyond are looked for here alone. */
  readonly mostStops?: number;
  /** The `top_k` that leaves all tokens; default -1. */
  readonly wholeVocabulary?: number;
  /** Whether it refuses a `top_p` that leaves all tokens. */
  readonly topPBelowOne?: boolean;
  /** Further fields. */
  readonly fields?: (order: Order) => Readonly<Record<string, unknown>>;
}

/** How a task is asked for. */
export interface Question {
  readonly path: string;
  readonly body: unknown;
  /**
   * Takes in one event of the answer; false: it is no sign of work.
   * @throws {UpstreamError} it makes no sense, or says that the task failed
   */
  readonly read: (answer: Answer, data: string, event: string | undefined) => boolean | void;
  /** Whether the server has begun an answer, and nothing of it has come but that the task waits; absent: that never shows. */
  readonly waits?: () => boolean;
}

/** The load that a server publishes. */
export type Figures = Omit<UpstreamFigures, "ours">;

export interface Dialect {
  /** For people. */
  readonly name: string;
  /** The `owned_by` of its models; null: it does not tell the server from others. */
  readonly owner: string | null;
  /** Asks for what only this server has; its models, or null: it is another one. Of those that have no owner of their own. */
  readonly recognize?: (upstream: Upstream, listed: readonly ModelCard[]) => Promise<readonly ModelCard[] | null>;
  readonly about: (upstream: Upstream, model: ModelCard) => Promise<About>;
  readonly extras: Extras;
  /**
   * Makes what looks like special tokens in callers' texts a text to the server; absent: it takes them as it likes.
   * @throws {EngineFailure} `invalid_input`: they stand where nothing may be changed @throws {UpstreamError} the server does not help
   */
  readonly harmless?: (upstream: Upstream, request: TextRequest) => Promise<TextRequest>;
  /** Absent: by OpenAI's routes for completions and chats. */
  readonly ask?: (order: Order) => Question;
  /** How many tokens a prompt has; null: it does not tell. For a prompt that was refused together with its `max_tokens`. */
  readonly countTokens?: (upstream: Upstream, order: Order) => Promise<number | null>;
  /** Beside closing the request. */
  readonly abort?: (upstream: Upstream, order: Order) => Promise<unknown>;
  /** It closes the connection behind each stream without having said so: see `Upstream.separateStreams`. */
  readonly separatesStreams?: boolean;
  /** null: it does not tell, or not now. */
  readonly figures?: (upstream: Upstream) => Promise<Figures | null>;
  /** Seconds that its figures may be behind what is true; default 2. */
  readonly figuresLag?: number;
  /** The HTTP status that a refusal in these words should have had, where the server gives a wrong one. */
  readonly statusOf?: (words: string) => number | null;
}

export const SAYS_NOTHING: About = { version: null, context: null, slots: null };

/** The object that a path answers with; null: it answers otherwise, or not at all. */
export async function ask(
  upstream: Upstream,
  path: string,
  body?: unknown,
): Promise<Readonly<Record<string, unknown>> | null> {
  const value = await askFor(upstream, path, body);
  return isObject(value) ? value : null;
}

/** The value in JSON that a path answers with; undefined: it answers otherwise, or not at all. */
export async function askFor(upstream: Upstream, path: string, body?: unknown): Promise<unknown> {
  const answer = await askQuietly(upstream, path, body);
  return answer === null ? undefined : valueOf(answer);
}

/** The text that a path answers with; null: it answers otherwise, or not at all. */
export async function askForText(upstream: Upstream, path: string): Promise<string | null> {
  return (await askQuietly(upstream, path))?.body ?? null;
}

/** Seconds that what is only asked for the figures' sake may take. */
const PATIENCE = 5;

async function askQuietly(upstream: Upstream, path: string, body?: unknown): Promise<UpstreamAnswer | null> {
  const method = body === undefined ? "GET" : "POST";
  const answer = await upstream.ask(method, path, body, { timeout: PATIENCE }).catch(() => null);
  return answer?.status === 200 ? answer : null;
}

/** undefined: it is not JSON. */
export function valueOf({ body }: Pick<UpstreamAnswer, "body">): unknown {
  return valueIn(body);
}
