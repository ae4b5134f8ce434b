/**
 * Traces of Mooncake, the servers of Kimi: https://github.com/kvcache-ai/Mooncake. A line is an object of JSON: `timestamp` in milliseconds,
 * `input_length`, `output_length`, and `hash_ids`, one for each 512 tokens of the prompt, equal where all up to there is equal.
 */
import { NOBODY, PLAIN_TYPE, PREFIX_TOKENS, type TraceRequest } from "../trace.ts";
import { BadValue, quoted, secondsOf, tokensOf } from "./columns.ts";

/** Tokens for each of their hashes. */
const BLOCK_TOKENS = 512;
const PARTS = BLOCK_TOKENS / PREFIX_TOKENS;
/** As many of ours as the scheduler looks at. */
const LONGEST = 64 / PARTS;

const KEYS = ["timestamp", "input_length", "output_length", "hash_ids"] as const;

/** @throws {BadValue} */
export function readMooncake(line: string): TraceRequest {
  const { timestamp, input_length: input, output_length: output, hash_ids: hashes = [] } = objectOf(line);
  if (!Array.isArray(hashes) || !hashes.every((hash) => Number.isInteger(hash)))
    throw new BadValue(`hash_ids must be a list of integers; got ${quoted(hashes)}.`);
  return {
    at: secondsOf("timestamp", timestamp as number) / 1000,
    caller: NOBODY,
    promptTokens: tokensOf("input_length", input as number),
    outputTokens: tokensOf("output_length", output as number),
    maxTokens: null,
    prefix: (hashes as number[]).slice(0, LONGEST).flatMap(partsOf),
    model: null,
    taskType: PLAIN_TYPE,
    priority: "normal",
  };
}

function objectOf(line: string): Readonly<Partial<Record<(typeof KEYS)[number], unknown>>> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new BadValue(`it must be an object of JSON; got ${quoted(line.slice(0, 60))}.`);
  }
  if (typeof value !== "object" || value === null) throw new BadValue("it must be an object of JSON.");
  const unknown = Object.keys(value).find((key) => !(KEYS as readonly string[]).includes(key));
  if (unknown !== undefined) throw new BadValue(`the key ${quoted(unknown)} is unknown; known are ${KEYS.join(", ")}.`);
  return value;
}

/** One of their hashes stands for several of ours. */
function partsOf(hash: number): number[] {
  return Array.from({ length: PARTS }, (_, part) => Math.imul(hash * PARTS + part + 1, 0x9e3779b1));
}
