/** Of a request's fields: those that are ignored, and those that become sampling and the settings of tasks. */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Config } from "../../config/config.ts";
import { type ChatRequest, type Message, type Sampling, TO_THE_END } from "../../request.ts";
import type { TaskInput } from "../../task.ts";
import { AltLasError } from "../../errors.ts";
import { formatOf, toolsOf } from "../forms.ts";
import { UNSTORED } from "../inputs.ts";
import { checkLogprobs } from "./logprobs.ts";
import { messagesOf } from "../schemas/messages.ts";
import type { ChatBody, OpenAiMessage, SamplingRequest, SharedFields } from "../schemas/openai.ts";
import { drawnSeed, samplingOf } from "../schemas/sampling.ts";

/** Fields of OpenAI's that change no answer here: nobody needs to hear that they did nothing. */
const HARMLESS: ReadonlySet<string> = new Set([
  "user",
  "metadata",
  "store",
  "service_tier",
  "parallel_tool_calls",
  "stream_options",
  "safety_identifier",
  "prompt_cache_key",
  "prompt_cache_retention",
]);

/** Names in one header; a body may have a hundred thousand. */
const MOST_NAMES = 20;
const LONGEST_NAME = 100;
/** Many times those that a schema knows. */
const MOST_LOOKED_AT = 1000;

interface Known {
  readonly properties: Readonly<Record<string, unknown>>;
}

type Hook = (request: FastifyRequest, reply: FastifyReply, done: () => void) => void;

type Fields = Readonly<Record<string, unknown>>;

/**
 * Names the fields that a schema does not know in `X-Ignored-Fields`. A field that is null says nothing, and is not named.
 * @param harmless fields that it does not know and that change no answer
 * @param idleIn finds others that do nothing
 */
export function tellIgnored(
  { properties }: Known,
  harmless = HARMLESS,
  idleIn: (fields: Fields) => readonly string[] = () => [],
): Hook {
  return ({ body }, reply, done) => {
    const fields = Object(body) as Fields;
    const names = [...unknownIn(fields, properties, harmless), ...idleIn(fields)];
    const isCut = Object.keys(fields).length > MOST_LOOKED_AT;
    if (names.length > 0) reply.header("x-ignored-fields", listed(names, isCut));
    done();
  };
}

/** The names of fields that are not known and say something. */
export function unknownIn(fields: Fields, known: Known["properties"], harmless: ReadonlySet<string>): string[] {
  return Object.keys(fields)
    .slice(0, MOST_LOOKED_AT)
    .filter((name) => !Object.hasOwn(known, name) && !harmless.has(name) && fields[name] !== null);
}

/** As `tellIgnored`, for names that are no fields of a body. */
export function tellIgnoredNames(reply: FastifyReply, names: readonly string[]): void {
  if (names.length > 0) reply.header("x-ignored-fields", listed(names, false));
}

/** @param isCut there may be more */
function listed(names: readonly string[], isCut: boolean): string {
  const clear = names.slice(0, MOST_NAMES).map(clearName);
  return [...clear, ...(isCut || names.length > MOST_NAMES ? ["..."] : [])].join(", ");
}

/** Names are the client's, of any length and with any character; a header may have neither. */
function clearName(name: string): string {
  let clear = "";
  for (const character of name.slice(0, LONGEST_NAME).toWellFormed()) {
    const encoded = encodeURIComponent(character);
    if (clear.length + encoded.length > LONGEST_NAME) break;
    clear += encoded;
  }
  return clear;
}

/** The sampling of each of a request's choices: they differ in their seeds. */
export function samplingsOf(body: SamplingRequest, limits: Config["api"]["openai"]): readonly Sampling[] {
  const { max_tokens, max_completion_tokens, temperature, n } = body;
  const named = max_completion_tokens ?? max_tokens ?? limits.default_max_tokens ?? TO_THE_END;
  const max_length = Math.min(named, max_tokens ?? named, TO_THE_END);
  // Greedy choices are alike whatever the seed.
  const seed = body.seed ?? (temperature > 0 ? drawnSeed() : 0);
  return Array.from({ length: n }, (_, index) => samplingOf({ ...body, max_length, seed: seedOf(seed + index) }));
}

const SEEDS = 2 ** 32;

/** OpenAI's seeds are any integers, and those of engines have 32 bits. */
export function seedOf(seed: number): number {
  return ((seed % SEEDS) + SEEDS) % SEEDS;
}

export function settingsOf({
  model,
  task_type,
  priority,
  store,
}: SharedFields & { readonly store?: boolean }): Omit<TaskInput, "request"> {
  return {
    ...(store === false && UNSTORED),
    taskType: task_type.toWellFormed(),
    priority,
    timeoutSeconds: null,
    model: model === undefined ? null : model.toWellFormed(),
  };
}

/** The messages, without what is not known of them. @throws {AltLasError} `invalid_input`, `unsupported` */
export function conversationOf(given: readonly OpenAiMessage[], maxBytes: number): readonly Message[] {
  const plain = given.map(({ role, content, tool_calls, tool_call_id, name }) => ({
    role: ROLES[role],
    ...(content !== undefined && { content: partsOf(content) }),
    ...(tool_calls !== undefined && { tool_calls }),
    ...(tool_call_id !== undefined && { tool_call_id }),
    ...(name !== undefined && { name }),
  }));
  return messagesOf(plain, "messages", maxBytes);
}

function partsOf(content: NonNullable<OpenAiMessage["content"]>) {
  if (typeof content === "string") return content;
  return content.map(({ type, text }) => (text === undefined ? { type } : { type, text }));
}

/** The demands on an answer beside a text. @throws {AltLasError} `invalid_input`, `unsupported` */
export function wantedOf(body: ChatBody): Pick<ChatRequest, "format" | "tools" | "logprobs"> {
  const format = formatOf(body.response_format, "");
  const tools = toolsOf(body, "");
  const { logprobs, top_logprobs: likeliest = 0 } = body;
  if (logprobs !== true && likeliest > 0) {
    const sentence = `top_logprobs asks for ${likeliest} tokens, and needs logprobs to be true.`;
    throw new AltLasError("invalid_input", sentence, { param: "top_logprobs" });
  }
  checkLogprobs(logprobs === true ? likeliest : undefined, body.n, "top_logprobs");
  return { ...(format && { format }), ...(tools && { tools }), ...(logprobs === true && { logprobs: likeliest }) };
}

/** The roles that OpenAI has, by those that templates know. */
const ROLES = {
  system: "system",
  developer: "system",
  user: "user",
  assistant: "assistant",
  tool: "tool",
  function: "tool",
} as const;
