/** A client of OpenAI's API, which looks closer at shapes than the real ones do. */
import assert from "node:assert/strict";
import { type FastifyInstance } from "fastify";
import { AS } from "./http.ts";

export interface Envelope {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
  };
}

export interface Chunk {
  readonly id: string;
  readonly object: string;
  readonly created: number;
  readonly model: string;
  readonly choices: readonly {
    readonly index: number;
    readonly delta?: Readonly<Record<string, string>>;
    readonly text?: string;
    readonly logprobs: object | null;
    readonly finish_reason: string | null;
  }[];
  readonly usage?: object | null;
}

export function ask(
  app: FastifyInstance,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = AS.user,
) {
  if (body === undefined) return app.inject({ url: path, headers });
  return app.inject({
    method: "POST",
    url: path,
    headers: { "content-type": "application/json", ...headers },
    payload: typeof body === "string" ? body : JSON.stringify(body),
  });
}

/** The failure of an answer, after checking its shape. */
export function envelopeOf(response: { readonly statusCode: number; readonly body: string }, status: number) {
  assert.equal(response.statusCode, status, response.body);
  const { error, ...rest } = JSON.parse(response.body) as Envelope;
  assert.deepEqual(rest, {});
  assert.deepEqual(Object.keys(error), ["message", "type", "param", "code"]);
  return error;
}

/** The chunks of a whole stream, without its comments; an error is one, too. @throws {AssertionError} it is no such stream */
export function chunksOf(text: string): (Chunk | Envelope | "[DONE]")[] {
  assert.ok(text === "" || text.endsWith("\n\n"), "the stream breaks off within an event");
  const blocks = text.split("\n\n").slice(0, -1);
  return blocks.filter((block) => !block.startsWith(":")).map(chunkOf);
}

/** One event: clients break at a named one. */
export function chunkOf(block: string): Chunk | Envelope | "[DONE]" {
  const [, data] = /^data: ([^\n\r]*)$/.exec(block) ?? [];
  assert.ok(data !== undefined, `no chunk: ${JSON.stringify(block)}`);
  return data === "[DONE]" ? data : (JSON.parse(data) as Chunk | Envelope);
}

/** Short for assertions: what each chunk says. */
export function briefly(chunks: readonly (Chunk | Envelope | "[DONE]")[]): string[] {
  return chunks.map((chunk) => {
    if (chunk === "[DONE]") return chunk;
    if ("error" in chunk) return `error ${chunk.error.code}`;
    const [choice] = chunk.choices;
    if (choice === undefined) return `usage ${JSON.stringify(chunk.usage)}`;
    const { index, delta, text, finish_reason } = choice;
    if (finish_reason !== null) return `${index} ends: ${finish_reason}`;
    return `${index} ${delta === undefined ? text : JSON.stringify(delta)}`;
  });
}
