/** A server's failures in words: its own, or what the way to it says. */
import { errors } from "./undici.ts";
import { SAID_OF } from "../../common/network-words.ts";
import { isObject, textIn, valueIn } from "../../common/json-values.ts";

/** The message of a body for a person: that of a JSON error, in any of the shapes that servers use, or the text of a page. */
export function wordsIn(body: string): string {
  const said = messageIn(valueIn(body)) ?? body.replace(/<(script|style)[^]*?<\/\1>|<[^>]*>/gi, " ");
  return said.replace(/\s+/g, " ").trim() || "nothing";
}

/** The word for programs: OpenAI's `error.code`, or ALT_LAS's `code`; null: there is none. */
export function codeIn(body: string): string | null {
  const value = valueIn(body);
  if (!isObject(value)) return null;
  return textIn(isObject(value.error) ? value.error.code : value.code);
}

/** OpenAI, vLLM and llama-server: `error.message`; TGI, Ollama and ALT_LAS: `error`; FastAPI: `detail`; others: `message`. */
function messageIn(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map((one) => messageIn(one) ?? "").join("; ");
  if (value === null || typeof value !== "object") return undefined;
  const { error, message, detail, msg } = value as Record<string, unknown>;
  return messageIn(error ?? message ?? detail ?? msg);
}

/** "": it is not the parser's. */
export function saidOfParser(error: Error): string {
  if (!(error instanceof errors.HTTPParserError)) return "";
  // Nothing came that it could have stumbled over: the end came too early.
  return "data" in error && error.data === "" ? SAID_OF.ECONNRESET! : "what it sends is not HTTP";
}
