/**
 * Fields of others' APIs that would change the answer and cannot be honoured yet. They are known, so that their refusal says why, and
 * their values that change nothing pass.
 */
import { Type } from "typebox";

const TOOLS = "no model here calls tools";

/** Fields about tools, of a request and of a message. */
export function noTools<Of extends "request" | "message">(of: Of) {
  const ofMessage = {
    tool_calls: Type.Optional(noList(`an empty list, as ${TOOLS}`)),
    tool_call_id: Type.Optional(nothing(`left out, as ${TOOLS}`)),
  };
  const ofRequest = {
    tools: Type.Optional(noList(`an empty list, as ${TOOLS}`, ["functions"])),
    tool_choice: Type.Optional(
      Type.Enum(["none", "auto"], { type: "string", unsupported: true, allowed: `"none" or "auto", as ${TOOLS}` }),
    ),
    parallel_tool_calls: Type.Optional(Type.Boolean({ description: "Means nothing, as no model here calls tools." })),
  };
  return (of === "message" ? ofMessage : ofRequest) as Of extends "message" ? typeof ofMessage : typeof ofRequest;
}

/** Fields of a request. */
export const notYetFields = {
  response_format: Type.Optional(
    Type.Unsafe<{ readonly type: "text" }>({
      type: "object",
      enum: [{ type: "text" }],
      unsupported: true,
      alsoCalled: ["format", "json_schema", "guided_json", "grammar"],
      allowed: '{"type": "text"}, as no model here is held to another form',
      description: "Only text.",
    }),
  ),
  ...noTools("request"),
  logprobs: Type.Optional(nothing("left out, as the probabilities of tokens are not told here")),
};

/** A list that has to be empty. */
export function noList(allowed: string, alsoCalled: string[] = []) {
  const description = "Only an empty list.";
  return Type.Array(Type.Unknown(), { maxItems: 0, unsupported: true, allowed, alsoCalled, description });
}

export function nothing(allowed: string) {
  return Type.Null({ unsupported: true, allowed, description: "Only null." });
}
