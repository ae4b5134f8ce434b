/** Checks of embeddings and their inputs, for every engine that counts tokens itself. */
import type { EmbeddingRequest } from "../request.ts";
import { EngineFailure } from "./failures.ts";

/**
 * The numbers of an input that came as tokens.
 * @param index of the input among all @param vocabulary how many tokens the model has
 * @throws {EngineFailure} `invalid_input` when the model does not have one of them
 */
export function checkTokens(tokens: readonly number[], index: number, vocabulary: number): readonly number[] {
  const bad = tokens.find((token) => !Number.isSafeInteger(token) || token < 0 || token >= vocabulary);
  if (bad === undefined) return tokens;
  const sentence = `input[${index}] has the token ${bad}, but those of this model are 0 to ${vocabulary - 1}.`;
  throw new EngineFailure("invalid_input", sentence);
}

/**
 * Tokens that a model never learnt may stand for nothing but zeros, and so does an input of nothing else: that is no fault of the device.
 * @throws {EngineFailure} `model_error`: a vector is all zeros
 */
export function checkVector(vector: readonly number[]): void {
  if (vector.some((number) => number !== 0)) return;
  throw new EngineFailure("model_error", "The model's vector of an input is all zeros: it knows none of its tokens.");
}

/**
 * @param tokens of the input with this index @param room tokens that an input may have
 * @throws {EngineFailure} `prompt_too_long`
 */
export function checkRoom(tokens: number, index: number, { inputs }: EmbeddingRequest, room: number): void {
  if (tokens <= room) return;
  const what = inputs.length === 1 ? "The input" : `input[${index}]`;
  const sentence = `${what} has ${tokens} tokens, but this model's embeddings have room for ${room}.`;
  throw new EngineFailure("prompt_too_long", sentence);
}
