/**
 * Makes texts of callers harmless for a llama.cpp server that renders them by itself: on its routes what looks like a special token in a text
 * is that token, so that a caller could end its own message and begin one of the system. The server tells which texts have any; they get a
 * zero-width non-joiner (U+200C) behind the first character, which the model reads as a part of the text.
 */
import { isObject } from "../../common/json-values.ts";
import { type ChatRequest, type Message, type TextRequest, textsOf, type Tool } from "../../request.ts";
import { EngineFailure } from "../failures.ts";
import { type Upstream, UpstreamError } from "../upstream/upstream.ts";
import { ask } from "./dialect.ts";

const NON_JOINER = "\u200c";

/** All of them have one of these, as nearly all that vocabularies hold for special. */
const SIGNS = /[<[｜]/;

/** Breaking one name may leave another, as of `<|a<|b|>|>`. */
const ROUNDS = 3;

/**
 * @throws {EngineFailure} `invalid_input`: there is a special token where nothing may be changed: in a schema, or in the name of a tool
 * @throws {UpstreamError} it does not tell its tokens
 */
export async function harmless(upstream: Upstream, request: TextRequest): Promise<TextRequest> {
  if (!SIGNS.test(allOf(request))) return request;
  let made = request;
  for (let round = 0; round < ROUNDS; round++) {
    const names = await namesIn(upstream, allOf(made));
    if (names.length === 0) return made;
    made = broken(made, names);
  }
  const [name] = await namesIn(upstream, allOf(made));
  if (name === undefined) return made;
  const sentence = `${JSON.stringify(name)} is a special token of this model, and may stand neither in a schema nor in the name of a tool.`;
  throw new EngineFailure("invalid_input", sentence);
}

/** Its number, and what it stands for; null: that is not told. */
type Token = readonly [id: number, piece: string | null];

/** Everything that the server may put into the prompt. */
function allOf(request: TextRequest): string {
  const { format } = request;
  const tools = request.kind === "chat" ? (request.tools?.list ?? []) : [];
  const schemas = [...tools, ...(format?.kind === "schema" ? [format.schema] : [])];
  return [...textsOf(request), ...tools.map(({ description = "" }) => description), ...schemas.map(written)].join("\n");
}

/** As templates write it. */
function written(value: unknown): string {
  return JSON.stringify(value);
}

/** The special tokens in a text: those that are not there where none are looked for. */
async function namesIn(upstream: Upstream, text: string): Promise<readonly string[]> {
  const [special, plain] = await Promise.all([true, false].map((parse) => piecesOf(upstream, text, parse)));
  const ordinary = new Set(plain!.map(([id]) => id));
  const found = special!.filter(([id]) => !ordinary.has(id)).map(([, piece]) => piece ?? unnamed());
  return [...new Set(found)].filter((piece) => SIGNS.test(piece));
}

/** @throws {UpstreamError} it does not tell them */
async function piecesOf(upstream: Upstream, text: string, parse_special: boolean): Promise<readonly Token[]> {
  const body = { content: text.toWellFormed(), add_special: false, parse_special, with_pieces: true };
  const { tokens } = (await ask(upstream, "/tokenize", body)) ?? {};
  if (!Array.isArray(tokens)) return unnamed();
  return tokens.map((token: unknown): Token => {
    // Older ones tell numbers alone.
    if (typeof token === "number") return [token, null];
    const { id, piece } = isObject(token) ? token : {};
    if (typeof id !== "number") return unnamed();
    // Bytes that are no text are told in a list, and are no special token's name.
    return [id, typeof piece === "string" ? piece : ""];
  });
}

function unnamed(): never {
  throw new UpstreamError(null, "it does not tell the tokens of a text");
}

function broken(request: TextRequest, names: readonly string[]): TextRequest {
  const broke = (text: string): string => {
    let all = text;
    for (const name of names) {
      const [first = ""] = name;
      all = all.replaceAll(name, first + NON_JOINER + name.slice(first.length));
    }
    return all;
  };
  if (request.kind === "completion") return { ...request, text: broke(request.text) };
  return brokenChat(request, broke);
}

function brokenChat(request: ChatRequest, broke: (text: string) => string): ChatRequest {
  const { messages, tools } = request;
  const message = (one: Message): Message => ({
    ...one,
    content: broke(one.content),
    ...(one.toolCalls && { toolCalls: one.toolCalls.map((call) => ({ ...call, arguments: broke(call.arguments) })) }),
  });
  const tool = (one: Tool): Tool =>
    one.description === undefined ? one : { ...one, description: broke(one.description) };
  return {
    ...request,
    messages: messages.map(message),
    ...(tools && { tools: { ...tools, list: tools.list.map(tool) } }),
  };
}
