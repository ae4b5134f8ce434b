/** Anthropic's API: what its clients are answered. */
import { hexOf } from "../../common/uuid.ts";
import { Type, type Static } from "../../common/type.ts";
import { ID_EXAMPLE, oneOf, orNull, shared } from "./common.ts";

const HEX = hexOf(ID_EXAMPLE);

/** A part of an answer: what it has beside its type follows from that. */
export type AnswerBlock =
  | { readonly type: "thinking"; readonly thinking: string; readonly signature: "" }
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "tool_use"; readonly id: string; readonly name: string; readonly input: object };

const Blocks = Type.Array(
  Type.Unsafe<AnswerBlock>({
    type: "object",
    properties: {
      type: { type: "string", enum: ["thinking", "text", "tool_use"] },
      thinking: { type: "string" },
      signature: { type: "string", description: "Always empty." },
      text: { type: "string" },
      id: { type: "string" },
      name: { type: "string" },
      input: { type: "object", additionalProperties: true },
    },
    required: ["type"],
  }),
  { description: "What the model wrote for itself before, its text, the tools that it asks for: in this order." },
);

export const AnthropicUsage = Type.Object(
  {
    input_tokens: Type.Integer({ description: "Of the prompt, without those that were in the cache." }),
    output_tokens: Type.Integer(),
    cache_read_input_tokens: Type.Integer({ description: "Of the prompt, those that were in the KV cache already." }),
    cache_creation_input_tokens: Type.Integer({ description: "Always 0." }),
  },
  { description: "0 and 0 for the prompt where the server behind the GPU does not count." },
);
export type AnthropicUsage = Static<typeof AnthropicUsage>;

export const STOP_REASONS = ["end_turn", "max_tokens", "tool_use"] as const;

export const MessageAnswer = Type.Object(
  {
    id: Type.String(),
    type: oneOf(["message"]),
    role: oneOf(["assistant"]),
    model: Type.String({ description: "The model that ran." }),
    content: Blocks,
    stop_reason: oneOf([...STOP_REASONS], { description: "end_turn also where a stop sequence has ended it." }),
    stop_sequence: Type.Null({ description: "Always null." }),
    usage: AnthropicUsage,
  },
  {
    $id: "Message",
    examples: [
      {
        id: `msg_${HEX}`,
        type: "message",
        role: "assistant",
        model: "demo",
        content: [{ type: "text", text: "Hello!" }],
        stop_reason: "end_turn",
        stop_sequence: null,
        usage: { input_tokens: 9, output_tokens: 2, cache_read_input_tokens: 0, cache_creation_input_tokens: 0 },
      },
    ],
  },
);
export type MessageAnswer = Static<typeof MessageAnswer>;

export const MessageEvents = Type.String({
  description:
    "Server-sent events: message_start, for each block content_block_start, content_block_delta and content_block_stop, then message_delta and message_stop; ping between them. An error after the first is an event `error`.",
  examples: [
    `event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}\n\n`,
  ],
});

export const TokenCount = Type.Object(
  { input_tokens: Type.Integer() },
  { $id: "TokenCount", examples: [{ input_tokens: 9 }] },
);
export type TokenCount = Static<typeof TokenCount>;

/** A model, as clients that send `anthropic-version` are told of it. */
export interface AnthropicModel {
  readonly type: "model";
  readonly id: string;
  readonly display_name: string;
  readonly created_at: string;
  readonly max_input_tokens: number | null;
  readonly max_tokens: number | null;
}

export const AnthropicFailure = Type.Object(
  {
    type: oneOf(["error"]),
    error: Type.Object({
      type: Type.String({ description: "The kind of failure, by its status." }),
      message: Type.String({ description: "A sentence a person can act on." }),
      details: Type.Optional(
        Type.Object(
          { error_code: Type.Optional(Type.String()) },
          { description: "`error_code`: a refusal that clients know a way around." },
        ),
      ),
    }),
    request_id: orNull<string>("string", { description: "As in the header request-id." }),
  },
  {
    $id: "AnthropicError",
    examples: [
      {
        type: "error",
        error: {
          type: "invalid_request_error",
          message: "max_tokens is missing; it must be an integer of at least 1.",
        },
        request_id: "req-1",
      },
    ],
  },
);
export type AnthropicFailure = Static<typeof AnthropicFailure>;
export const AnthropicFailureRef = shared(AnthropicFailure);
