/** The answer of a simulated model, as tokens. */
import type { Delta, ToolCallDelta } from "../../output.ts";
import type { ToolCall } from "../../request.ts";
import { words } from "./words.ts";

/** Bytes of a token of what is no word; a token is one character at least. */
export const BYTES_PER_TOKEN = 4;

export interface Source {
  /** Tokens after which it ends by itself; Infinity: it never does. */
  readonly tokens: number;
  /** Whether any number of its tokens is one delta; else it is asked for each. */
  readonly isOneText: boolean;
  /** The delta of the tokens `from` to `to` (not included). */
  deltaOf(from: number, to: number): Delta;
}

/** @param first the place of its first word among all of them */
export function wordsFrom(first: number): Source {
  const deltaOf = (from: number, to: number): Delta => ({ kind: "text", text: words(first, from, to) });
  return { tokens: Infinity, isOneText: true, deltaOf };
}

export function textSource(text: string): Source {
  const tokens = tokensOf(text);
  const deltaOf = (from: number, to: number): Delta => ({ kind: "text", text: tokens.slice(from, to).join("") });
  return { tokens: tokens.length, isOneText: true, deltaOf };
}

/** A call's first token brings its id and its name alone, as servers do. */
export function callsSource(calls: readonly ToolCall[]): Source {
  const deltas = calls.flatMap(({ id, name, arguments: all }, index): ToolCallDelta[] => [
    { kind: "tool_call", index, call: { id, name }, arguments: "" },
    ...tokensOf(all).map((piece) => ({ kind: "tool_call", index, arguments: piece }) as const),
  ]);
  return { tokens: deltas.length, isOneText: false, deltaOf: (from) => deltas[from]! };
}

/** The text cut into tokens; none splits a character. */
function tokensOf(text: string): string[] {
  const tokens: string[] = [];
  let token = "";
  let bytes = 0;
  for (const char of text) {
    const more = Buffer.byteLength(char);
    if (bytes + more > BYTES_PER_TOKEN && token !== "") {
      tokens.push(token);
      [token, bytes] = ["", 0];
    }
    token += char;
    bytes += more;
  }
  if (token !== "") tokens.push(token);
  return tokens;
}
