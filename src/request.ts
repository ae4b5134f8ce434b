/**
 * The request of a task to a model.
 *
 * A request is one immutable value: the HTTP schema makes it, the task carries it, the store keeps it, the worker's messages hand it on,
 * and the engine reads what it honours. Between the HTTP schema and the engine only its facts are used. So a new field of
 * `Sampling` touches this file, one HTTP schema and the engines.
 */

/** How the tokens of an answer are drawn. Requests that are stored already lack a field that is added here, so it has to be optional. */
export interface Sampling {
  /** Tokens to generate at most; `TO_THE_END`: as many as the context has room for. */
  readonly maxTokens: number;
  /** 0 is greedy. */
  readonly temperature: number;
  /** 0 to 1: only the likeliest tokens that have this much of the probability together; 1: all. */
  readonly topP?: number;
  /** Only so many of the likeliest tokens; 0: all. */
  readonly topK?: number;
  /** 0 to 1: only tokens that have at least this share of the likeliest one's probability; 0: all. */
  readonly minP?: number;
  /** 0 to 2^32 - 1. The same one gives the same text again on the same engine. Absent: greedy, or an engine's own proof. */
  readonly seed?: number;
  /** -2 to 2: taken off the logit of each token that the answer has already. */
  readonly presencePenalty?: number;
  /** -2 to 2: taken off as often as the answer has the token. */
  readonly frequencyPenalty?: number;
  /** By the token's number, -100 to 100: added to its logit. */
  readonly logitBias?: Readonly<Record<string, number>>;
  /** The answer ends before the first of these, which is not part of it. None is empty. */
  readonly stop?: readonly string[];
}

/** The `maxTokens` of an answer that only its end, or that of the context, may end. */
export const TO_THE_END = 2 ** 31 - 1;

export const MESSAGE_ROLES = ["system", "user", "assistant", "tool"] as const;
export type MessageRole = (typeof MESSAGE_ROLES)[number];

/** One message of a conversation. */
export interface Message {
  readonly role: MessageRole;
  readonly content: string;
  /** The calls that an assistant has made with it; absent: none. */
  readonly toolCalls?: readonly ToolCall[];
  /** Of a tool's message: the call that it answers. */
  readonly toolCallId?: string;
  /** Of a tool's message: the tool's name. */
  readonly name?: string;
}

/** A value of JSON that says what another one has to be: https://json-schema.org. `true` allows all, `false` nothing. */
export type JsonSchema = boolean | { readonly [keyword: string]: unknown };

/** A call of a tool by a model. */
export interface ToolCall {
  readonly id: string;
  /** The tool's name. */
  readonly name: string;
  /** As the model wrote it: JSON, unless it was cut off or the model made a mistake. */
  readonly arguments: string;
}

/** A function of the caller's that the model may ask for. */
export interface Tool {
  readonly name: string;
  readonly description?: string;
  /** The schema of its arguments; absent: it takes none. */
  readonly parameters?: JsonSchema;
  /** Whether the arguments of a call must match wherever that can be made sure. */
  readonly strict?: boolean;
}

/** The schema of a tool's arguments, as grammars are made of it: they are an object, whatever the schema says. */
export function argumentsSchema(parameters: JsonSchema): JsonSchema {
  return typeof parameters === "boolean" ? parameters : { ...parameters, type: "object" };
}

/** `auto`: the model decides whether it calls one; `required`: it calls at least one; a name: it calls that one. */
export type ToolChoice = "auto" | "required" | { readonly name: string };

/** The tools of a request, at least one, each with a name of its own. */
export interface Tools {
  readonly list: readonly Tool[];
  readonly choice: ToolChoice;
  /** Whether an answer may have several calls. */
  readonly parallel: boolean;
}

/** The form that an answer's text must have, unless it is cut off. */
export type AnswerFormat =
  /** An object in JSON. */
  | { readonly kind: "json" }
  /** JSON that matches a schema. */
  | {
      readonly kind: "schema";
      readonly name: string;
      readonly schema: JsonSchema;
      /** Whether an answer that does not match is a failure; else the task is told to have a mismatch. */
      readonly strict: boolean;
    };

/** The demands on an answer, beside how it is drawn. */
interface Wanted {
  /** Absent: any text. */
  readonly format?: AnswerFormat;
  /** 0 to 20: each token is told with its probability, and so many of the likeliest in its place. Absent: none are. */
  readonly logprobs?: number;
}

/** A text to continue. */
export interface CompletionRequest extends Wanted {
  readonly kind: "completion";
  readonly text: string;
  /**
   * Whether the text is continued as it is even where the model has a chat template; else it is one user message there. Absent: as the
   * engine is configured.
   */
  readonly raw?: boolean;
  readonly sampling: Sampling;
}

/** A conversation to continue, by the model's own chat template. */
export interface ChatRequest extends Wanted {
  readonly kind: "chat";
  /** At least one, and one of them a user's. */
  readonly messages: readonly Message[];
  /** Absent: the model is told of none. */
  readonly tools?: Tools;
  readonly sampling: Sampling;
}

/** Texts to turn into vectors. Nothing is generated. */
export interface EmbeddingRequest {
  readonly kind: "embedding";
  /** Texts, or the numbers of their tokens; at least one, none empty. */
  readonly inputs: readonly (string | readonly number[])[];
  /** `NO_SAMPLING`. */
  readonly sampling: Sampling;
}

/** A tagged union by `kind`. A request may be large: while its task waits, only the store has to have it. */
export type Request = CompletionRequest | ChatRequest | EmbeddingRequest;

/** A request to generate text. */
export type TextRequest = CompletionRequest | ChatRequest;

/** The sampling of a request that generates nothing. */
export const NO_SAMPLING: Sampling = { maxTokens: 0, temperature: 0 };

/** The defaults, the same on every engine, so that an answer does not depend on the GPU that the task got. */
export const SAMPLING_DEFAULTS = { maxTokens: 128, temperature: 0.7, topK: 40, topP: 0.95, minP: 0.05 } as const;

/** A sampling with nothing left open. */
export type WholeSampling = { readonly [Field in keyof typeof SAMPLING_DEFAULTS]: number } & Sampling;

/**
 * Below this, a temperature is 0. It divides the logits: 32-bit floats overflow below about 1e-36, and one infinite logit makes every
 * probability NaN. At this one, a token whose logit is 0.02 behind the best is drawn once in 500 million times already, and logits are
 * computed no more exactly than that.
 */
const LEAST_TEMPERATURE = 1e-3;

/** @returns with a temperature with which every engine can compute */
export function wholeSampling({ sampling }: Pick<Request, "sampling">): WholeSampling {
  const whole = { ...SAMPLING_DEFAULTS, ...sampling };
  if (whole.temperature < LEAST_TEMPERATURE) whole.temperature = 0;
  return whole;
}

/** The texts that callers have put into a request, in order; lists of tokens are none. */
export function textsOf(request: Request): readonly string[] {
  switch (request.kind) {
    case "completion":
      return [request.text];
    case "chat":
      return request.messages.flatMap(textsOfMessage);
    case "embedding":
      return request.inputs.filter((input) => typeof input === "string");
  }
}

function textsOfMessage({ content, toolCalls = [] }: Message): readonly string[] {
  return toolCalls.length === 0 ? [content] : [content, ...toolCalls.flatMap((call) => [call.name, call.arguments])];
}

interface TextSize {
  /** In UTF-8. */
  readonly bytes: number;
  /** UTF-16 units. */
  readonly characters: number;
}

const NO_TEXT: TextSize = { bytes: 0, characters: 0 };

/** The size of a request's answer form and tools, as JSON: the model reads them, too. */
function formSizeOf(request: Request): TextSize {
  if (request.kind === "embedding") return NO_TEXT;
  const schema = request.format?.kind === "schema" ? sizeAsJson(request.format.schema) : NO_TEXT;
  if (request.kind !== "chat" || request.tools === undefined) return schema;
  const tools = sizeAsJson(request.tools.list);
  return { bytes: schema.bytes + tools.bytes, characters: schema.characters + tools.characters };
}

/** The tasks of a batch share their schema, which may be large. */
const sizesAsJson = new WeakMap<object, TextSize>();

function sizeAsJson(value: JsonSchema | readonly Tool[]): TextSize {
  const known = typeof value === "object" ? sizesAsJson.get(value) : undefined;
  if (known !== undefined) return known;
  const text = JSON.stringify(value);
  const size = { bytes: Buffer.byteLength(text), characters: text.length };
  if (typeof value === "object") sizesAsJson.set(value, size);
  return size;
}

export function completionOf(text: string, sampling: Partial<Sampling> = {}): CompletionRequest {
  const { maxTokens, temperature } = SAMPLING_DEFAULTS;
  return { kind: "completion", text, sampling: { maxTokens, temperature, ...sampling } };
}

/** The same request, for an answer of so many tokens at most. */
export function limited<Asked extends Request>(request: Asked, tokens: number): Asked {
  const { sampling } = request;
  return tokens < sampling.maxTokens ? { ...request, sampling: { ...sampling, maxTokens: tokens } } : request;
}

/** A number for each block of a prompt's beginning; each stands for all the text up to its end. */
export type Chain = readonly number[];

/** The capabilities of models; the words of the API. An engine tells those of its model when it has loaded it. */
export const CAPABILITIES = ["chat", "completion", "embedding", "json_schema", "tools", "logprobs", "vision"] as const;
export type Capability = (typeof CAPABILITIES)[number];

/** The sampling fields that not every engine honours, by their names in the API. */
export const SAMPLING_NAMES = {
  topP: "top_p",
  topK: "top_k",
  minP: "min_p",
  seed: "seed",
  presencePenalty: "presence_penalty",
  frequencyPenalty: "frequency_penalty",
  logitBias: "logit_bias",
  stop: "stop",
} as const;
export type SamplingName = (typeof SAMPLING_NAMES)[keyof typeof SAMPLING_NAMES];

/** Something that a request asks of a model and its engine. */
export type Need = Capability | SamplingName;

/** Of a text to continue with nothing special, as most tasks are: this very list, so that it is told by looking. */
export const PLAIN_NEEDS: readonly Need[] = ["completion"];

/** Facts about a request on its way, also while it is on disk only. */
export interface RequestFacts {
  /** Bytes of its content, in UTF-8. */
  readonly size: number;
  /** The most tokens of prompt and answer, as estimated before it has run. */
  readonly estimatedTokens: number;
  /** Equal for prompts that begin alike; empty: the text is short, or it was never hashed. */
  readonly prefix: Chain;
  /** The needs that a model has to meet; most have `PLAIN_NEEDS`. A drawn seed is none of these: an engine without seeds may ignore it. */
  readonly needs: readonly Need[];
}

/** A text has about one token for each four bytes; enough to compare GPUs and callers with, not to refuse a task. */
const BYTES_PER_TOKEN = 4;
/** Tokens that an answer without a limit is counted at until it has ended. */
const TOKENS_TO_THE_END = 512;
/** UTF-16 units: a common beginning of two prompts is found in steps of so many. */
export const BLOCK = 512;
/** Blocks of a prompt that are hashed, about 8,000 tokens; among prompts with this much in common any will do. */
const LONGEST = 64;
const EMPTY: Chain = [];

export function factsOf(request: Request): RequestFacts {
  const size = sizeOf(request);
  const prefix = size < BLOCK ? EMPTY : prefixOf(request);
  return { size, estimatedTokens: estimatedTokensOf(size, request.sampling), prefix, needs: needsOf(request) };
}

/** @param size bytes of the request's content */
export function estimatedTokensOf(size: number, { maxTokens }: Sampling): number {
  return Math.ceil(size / BYTES_PER_TOKEN) + (maxTokens === TO_THE_END ? TOKENS_TO_THE_END : maxTokens);
}

/** Bytes of its content, in UTF-8. */
export function sizeOf(request: Request): number {
  let size = formSizeOf(request).bytes;
  if (request.kind === "completion") return size + Buffer.byteLength(request.text);
  for (const text of textsOf(request)) size += Buffer.byteLength(text);
  if (request.kind === "embedding") size += BYTES_PER_TOKEN * tokensIn(request);
  return size;
}

function tokensIn({ inputs }: EmbeddingRequest): number {
  let tokens = 0;
  for (const input of inputs) if (typeof input !== "string") tokens += input.length;
  return tokens;
}

/** Conversations begin alike when their messages do: each is hashed behind the one before. */
function prefixOf(request: Request): Chain {
  if (request.kind === "embedding") return EMPTY;
  const text = request.kind === "completion" ? request.text : request.messages.map(lineOf).join("");
  return text.length < BLOCK ? EMPTY : chainOf(text);
}

function lineOf(message: Message): string {
  return `${message.role}\n${textsOfMessage(message).join("\n")}\n`;
}

function needsOf(request: Request): readonly Need[] {
  const { kind, sampling } = request;
  const asked: Need[] = [kind];
  if (kind !== "embedding") {
    if (request.format !== undefined) asked.push("json_schema");
    if (kind === "chat" && usesTools(request)) asked.push("tools");
    if (request.logprobs !== undefined) asked.push("logprobs");
  }
  // Maximum length and temperature are honoured by all, and a seed is drawn for nearly every task.
  for (const field of ASKED) if (!isOff(field, sampling[field])) asked.push(SAMPLING_NAMES[field]);
  // Nearly every task: it is looked up nowhere.
  return kind === "completion" && asked.length === 1 ? PLAIN_NEEDS : sharedNeeds(asked);
}

function usesTools({ tools, messages }: ChatRequest): boolean {
  return tools !== undefined || messages.some(({ toolCalls }) => toolCalls !== undefined);
}

const lists = new Map<string, readonly Need[]>([[PLAIN_NEEDS.join(), PLAIN_NEEDS]]);

/** The one list of these needs, in this order, that all requests share: two lists are then told apart by looking. */
export function sharedNeeds(needs: readonly Need[]): readonly Need[] {
  const key = needs.join();
  const known = lists.get(key);
  if (known === undefined) lists.set(key, needs);
  return known ?? needs;
}

/** Whether a field says that it changes nothing: an engine that knows nothing of it does as much. */
function isOff(field: keyof typeof SAMPLING_NAMES, value: Sampling[keyof typeof SAMPLING_NAMES]): boolean {
  if (value === undefined || value === OFF[field]) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** The numbers by which fields change nothing. */
const OFF: Readonly<Partial<Record<keyof typeof SAMPLING_NAMES, number>>> = {
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
};

/** Fields of a sampling that not every engine honours, always in this order. */
const ASKED = (Object.keys(SAMPLING_NAMES) as (keyof typeof SAMPLING_NAMES)[]).filter((field) => field !== "seed");

/** UTF-16 units of its content. */
export function charactersOfRequest(request: Request): number {
  let characters = formSizeOf(request).characters;
  if (request.kind === "completion") return characters + request.text.length;
  for (const text of textsOf(request)) characters += text.length;
  if (request.kind === "embedding") characters += BYTES_PER_TOKEN * tokensIn(request);
  return characters;
}

/** Bytes that a request takes of the heap. V8 keeps a text with two bytes a character, unless all its characters are Latin-1. */
export function heapBytesOf(request: Request, size: number): number {
  const characters = charactersOfRequest(request);
  const texts = size === characters ? size : 2 * characters;
  switch (request.kind) {
    case "completion":
      return texts;
    case "chat":
      return texts + OBJECT * request.messages.length;
    case "embedding":
      // V8 keeps a number in twice the bytes of a token.
      return texts + OBJECT * request.inputs.length + BYTES_PER_TOKEN * tokensIn(request);
  }
}

/** Bytes of the heap that a message takes beside its text; an input takes less. A thousand may be empty. */
const OBJECT = 100;

/**
 * A hash over UTF-16 units, two at a time, noted at the end of each whole block. Without the shift, blocks of one letter come out alike.
 */
function chainOf(text: string): Chain {
  const chain: number[] = [];
  let hash = 0;
  for (let block = 0; block < LONGEST && (block + 1) * BLOCK <= text.length; block++) {
    for (let index = block * BLOCK; index < (block + 1) * BLOCK; index += 2) {
      hash = Math.imul(hash ^ (text.charCodeAt(index) | (text.charCodeAt(index + 1) << 16)), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    chain.push(hash);
  }
  return chain;
}
