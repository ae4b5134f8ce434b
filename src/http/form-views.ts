/** Demands on an answer, and the calls of tools in conversations, as clients see them: by the names that they ask with. */
import type { AnswerFormat, Message, TextRequest, ToolCall, Tools } from "../request.ts";
import type { RequestView, ToolCallView } from "./schemas/tasks.ts";

type FormView = Pick<RequestView, "response_format" | "tools" | "tool_choice" | "parallel_tool_calls" | "logprobs">;

export function viewOfForm(request: TextRequest): FormView {
  const { format, logprobs } = request;
  const tools = request.kind === "chat" ? request.tools : undefined;
  return {
    ...(format && { response_format: viewOfFormat(format) }),
    ...(tools && viewOfTools(tools)),
    ...(logprobs !== undefined && { logprobs }),
  };
}

function viewOfFormat(format: AnswerFormat): object {
  if (format.kind === "json") return { type: "json_object" };
  const { name, schema, strict } = format;
  return { type: "json_schema", json_schema: { name, schema, strict } };
}

function viewOfTools({ list, choice, parallel }: Tools) {
  return {
    tools: list.map((tool) => ({ type: "function", function: tool })),
    tool_choice: typeof choice === "string" ? choice : { type: "function", function: choice },
    parallel_tool_calls: parallel,
  };
}

export function viewOfMessage({ role, content, toolCalls, toolCallId, name }: Message) {
  return {
    role,
    content,
    ...(toolCalls && { tool_calls: toolCalls.map(viewOfToolCall) }),
    ...(toolCallId !== undefined && { tool_call_id: toolCallId }),
    ...(name !== undefined && { name }),
  };
}

/** As OpenAI's API has it. */
export function viewOfToolCall({ id, name, arguments: args }: ToolCall): ToolCallView {
  return { id, type: "function", function: { name, arguments: args } };
}
