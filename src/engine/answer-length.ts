import { EngineFailure } from "./failures.ts";

/**
 * Tokens that an answer may have, after a prompt of so many, in a context of so many.
 * @throws {EngineFailure} `prompt_too_long` when there is no room for one
 */
export function roomBehind(promptTokens: number, context: number): number {
  if (promptTokens < context) return context - promptTokens;
  const sentence = `The prompt has ${promptTokens} tokens, which leaves no room in a context of ${context} tokens.`;
  throw new EngineFailure("prompt_too_long", sentence);
}
