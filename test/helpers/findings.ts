/** What the programs of test/clients find, and what it has to be. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { hashApiKey } from "../../src/auth/secrets.ts";
import { type TaskView } from "../../src/http/schemas/tasks.ts";
import { assertMatches } from "./form-promises.ts";
import { type Server } from "./server.ts";

/** As test/clients asks. */
export const [SYSTEM, QUESTION] = [
  { role: "system", content: "You are a helpful assistant." },
  { role: "user", content: "What is the capital of France?" },
] as const;
export const MAX_TOKENS = 24;
export const TEXTS = ["A man is eating food.", "Someone eats a meal.", "The sky is full of stars tonight."];
/** Not every client says that nothing else may be in it. */
const PERSON = {
  type: "object",
  properties: {
    name: { type: "string", minLength: 1, maxLength: 20 },
    age: { type: "integer", minimum: 0, maximum: 120 },
    pet: { enum: ["cat", "dog", null] },
    tags: { type: "array", items: { type: "string", maxLength: 8 }, maxItems: 3 },
  },
  required: ["name", "age", "pet", "tags"],
};
const PLACE = {
  type: "object",
  properties: { city: { type: "string", maxLength: 20 }, days: { type: "integer", minimum: 1, maximum: 7 } },
  required: ["city", "days"],
};

export type Vectors = readonly (readonly number[])[];

export interface Chat {
  readonly text: string;
  readonly finish: string;
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number };
  /** Whether the client's whole text is what it streamed. */
  readonly same?: boolean;
}

export interface Refusal {
  readonly status: number;
  readonly code: string | null;
  readonly message: string;
}

export interface Formed {
  readonly person: unknown;
  readonly same?: boolean;
}

export interface Called {
  readonly calls: readonly { readonly name: string; readonly arguments: unknown }[];
  /** The text that it ended with. */
  readonly answer?: string;
}

/** What a step has to find, by its name. */
export type Checks<Found> = { readonly [Step in keyof Found]-?: (found: NonNullable<Found[Step]>) => void };

/** Holds what was found against what has to be. @param who found it @throws {AssertionError} all that does not hold */
export function check<Found extends object>(who: string, found: Found, checks: Checks<Found>): void {
  const wrong: string[] = [];
  for (const step of Object.keys(found) as (keyof Found & string)[]) {
    const value = found[step]!;
    const { threw } = value as { threw?: string };
    try {
      if (threw === undefined) checks[step](value);
      else wrong.push(`${step}: ${threw}`);
    } catch (error) {
      wrong.push(`${step}: ${(error as Error).message}`);
    }
  }
  if (wrong.length > 0) assert.fail(`${who}: ${wrong.join("\n")}`);
}

/** @param finishes each a client's word for an answer that ended by itself */
export function assertChat({ text, finish, usage, same = true }: Chat, expected: Chat, finishes: RegExp): void {
  assert.deepEqual([text, same], [expected.text, true]);
  assert.match(finish, finishes);
  const { prompt_tokens, completion_tokens } = usage;
  assert.deepEqual(
    { prompt_tokens, completion_tokens },
    { prompt_tokens: expected.usage.prompt_tokens, completion_tokens: expected.usage.completion_tokens },
  );
}

export function assertFormed({ person, same = true }: Formed): void {
  assert(same, "what was streamed is something else");
  assertMatches(PERSON, person);
}

export function assertCalled({ calls }: Called): void {
  assert.equal(calls.length, 1);
  assert.equal(calls[0]!.name, "get_weather");
  assertMatches(PLACE, calls[0]!.arguments);
}

/** The model was told what came of the call. */
export function assertLooped({ calls, answer }: Called): void {
  assertCalled({ calls });
  assert.match(answer ?? "", /21 degrees/);
}

/** @param words of its sentence */
export function assertRefused({ status, message }: Refusal, expected: number, words: RegExp): void {
  assert.equal(status, expected, message);
  assert.match(message, words);
}

/** @param found as many of the first ones as the client asked for */
export function assertVectors(found: Vectors, expected: Vectors): void {
  for (const [index, vector] of found.entries()) {
    assert.equal(vector.length, expected[index]!.length);
    // Base64 has 32 bits of each number.
    for (const [at, value] of vector.entries()) assert.ok(Math.abs(value - expected[index]![at]!) < 1e-6);
  }
}

export function newKey(): string {
  return `altlas_${randomBytes(32).toString("base64url")}`;
}

/** A user for each key, so that the tasks of a client can be told from those of the others: for the section `auth`. */
export function usersOf(keys: readonly string[]): { readonly users: object[]; readonly keys: object[] } {
  const names = keys.map((_, index) => `client-${index}`);
  return {
    users: names.map((name) => ({ name, role: "user" })),
    keys: names.map((name, index) => ({ name, user: name, sha256: hashApiKey(keys[index]!) })),
  };
}

/** The task that a user submitted last, when it has ended. */
export async function newest(server: Server, key: string): Promise<TaskView> {
  const headers = { authorization: `Bearer ${key}` };
  const [id = ""] = Object.keys((await server.tasks("?limit=1", headers)).tasks);
  return server.ended(id, headers);
}

/** What the task API gives to a conversation at temperature 0. */
export async function answerTo(server: Server, model: string, messages: readonly object[]): Promise<Chat> {
  const { result } = await server.run({ messages, max_length: MAX_TOKENS, temperature: 0, model });
  const { text, finish_reason, usage } = result!;
  return { text, finish: finish_reason, usage: usage as Chat["usage"] };
}
