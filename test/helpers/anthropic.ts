/** A client of Anthropic's API, which looks closer at shapes than the real ones do. */
import assert from "node:assert/strict";
import { type AnswerBlock, type MessageAnswer } from "../../src/http/schemas/anthropic-answers.ts";

export interface MessageFailure {
  readonly type: string;
  readonly message: string;
  readonly details?: object;
}

export interface StreamEvent {
  readonly type: string;
  readonly index?: number;
  readonly message?: MessageAnswer;
  readonly content_block?: { readonly type: string };
  readonly delta?: Readonly<Record<string, string | null>>;
  readonly usage?: object;
  readonly error?: MessageFailure;
}

/** The failure of an answer, after checking its shape. */
export function failureIn(
  response: { readonly statusCode: number; readonly body: string; readonly headers: Readonly<Record<string, unknown>> },
  status: number,
): MessageFailure {
  assert.equal(response.statusCode, status, response.body);
  const { type, error, request_id: id, ...rest } = JSON.parse(response.body) as Record<string, unknown>;
  assert.deepEqual([type, rest], ["error", {}]);
  assert.equal(id, response.headers["request-id"]);
  assert.equal(typeof id, "string");
  const { type: kind, message, details, ...others } = error as Record<string, unknown>;
  assert.deepEqual([typeof kind, typeof message, others], ["string", "string", {}]);
  assert.ok(details === undefined || typeof details === "object");
  return error as MessageFailure;
}

/** The events of a whole stream, without pings. */
export function messageEvents(text: string): readonly StreamEvent[] {
  assert.ok(text === "" || text.endsWith("\n\n"), "the stream breaks off within an event");
  const blocks = text.split("\n\n").slice(0, -1);
  return blocks.map(messageEvent).filter(({ type }) => type !== "ping");
}

/** One event, which has its type for a name. */
export function messageEvent(block: string): StreamEvent {
  const [, name, data] = /^event: (\w+)\ndata: ([^\n\r]*)$/.exec(block) ?? [];
  assert.ok(data !== undefined, `no event: ${JSON.stringify(block)}`);
  const parsed = JSON.parse(data) as StreamEvent;
  assert.equal(name, parsed.type);
  return parsed;
}

type Growing = { -readonly [Field in keyof MessageAnswer]: MessageAnswer[Field] };

/** Puts a streamed message together, and looks at the order of its events. @throws {AssertionError} they are in no order */
export function assembled(events: readonly StreamEvent[]): MessageAnswer {
  const [start, ...rest] = events;
  assert.equal(start?.type, "message_start");
  const message: Growing = { ...start.message! };
  assert.deepEqual([message.content, message.stop_reason, message.stop_sequence], [[], null, null]);
  const end = rest.splice(-2);
  assert.deepEqual(
    end.map(({ type }) => type),
    ["message_delta", "message_stop"],
  );
  message.content = blocksOf(rest);
  return Object.assign(message, end[0]!.delta, { usage: end[0]!.usage });
}

function blocksOf(events: readonly StreamEvent[]): AnswerBlock[] {
  const blocks: AnswerBlock[] = [];
  let open: { readonly block: Record<string, unknown>; pieces: string } | null = null;
  for (const { type, index, content_block: begun, delta } of events) {
    if (type === "content_block_start") {
      assert.equal(open, null, "a block begins within another one");
      assert.equal(index, blocks.length);
      open = { block: { ...begun }, pieces: "" };
      continue;
    }
    assert.ok(open !== null, `${type} stands in no block`);
    assert.equal(index, blocks.length);
    if (type === "content_block_delta") open.pieces += pieceOf(open.block, delta!);
    else {
      assert.equal(type, "content_block_stop");
      blocks.push(closed(open.block, open.pieces));
      open = null;
    }
  }
  assert.equal(open, null, "a block is not closed");
  return blocks;
}

const FIELDS = {
  text: ["text_delta", "text"],
  thinking: ["thinking_delta", "thinking"],
  tool_use: ["input_json_delta", "partial_json"],
} as const;

function pieceOf(block: Readonly<Record<string, unknown>>, delta: Readonly<Record<string, string | null>>): string {
  const [type, field] = FIELDS[block["type"] as keyof typeof FIELDS];
  assert.deepEqual(Object.keys(delta), ["type", field]);
  assert.equal(delta["type"], type);
  return delta[field]!;
}

function closed(block: Readonly<Record<string, unknown>>, pieces: string): AnswerBlock {
  if (block["type"] === "tool_use") {
    assert.deepEqual(block["input"], {});
    return { ...block, input: JSON.parse(pieces) as object } as AnswerBlock;
  }
  const field = String(block["type"]);
  assert.equal(block[field], "");
  return { ...block, [field]: pieces } as AnswerBlock;
}
