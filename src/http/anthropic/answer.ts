/** Results as messages of Anthropic's API. */
import { hexOf } from "../../common/uuid.ts";
import { shown } from "../../common/validation.ts";
import type { ToolCall } from "../../request.ts";
import type { TaskResult } from "../../task.ts";
import { type Done, modelOf } from "../openai/calls.ts";
import type { AnswerBlock, AnthropicUsage, MessageAnswer, STOP_REASONS } from "../schemas/anthropic-answers.ts";

export function messageIdOf(taskId: string): string {
  return `msg_${hexOf(taskId)}`;
}

/** @returns the message, and what is missing in it, as sentences */
export function messageOf(task: Done): { readonly message: MessageAnswer; readonly warnings: readonly string[] } {
  const { result } = task;
  const { calls, warnings } = callsOf(result);
  const blocks: readonly AnswerBlock[] = [
    ...(result.reasoning === undefined
      ? []
      : [{ type: "thinking", thinking: result.reasoning, signature: "" } as const]),
    ...(result.text === "" ? [] : [{ type: "text", text: result.text } as const]),
    ...calls,
  ];
  const message: MessageAnswer = {
    id: messageIdOf(task.id),
    type: "message",
    role: "assistant",
    model: modelOf(task),
    // Clients look at the first block, whatever it is.
    content: blocks.length === 0 ? [{ type: "text", text: "" }] : [...blocks],
    stop_reason: stopReasonOf(result, calls.length > 0),
    stop_sequence: null,
    usage: usageOf(result),
  };
  return { message, warnings };
}

/** Inputs are objects here, and what a model wrote may be none: it was cut off, or made a mistake. A call without its input might do harm. */
function callsOf({ toolCalls = [] }: TaskResult) {
  const warnings: string[] = [];
  const calls = toolCalls.flatMap((call): AnswerBlock[] => {
    const input = inputOf(call);
    if (input !== null) return [{ type: "tool_use", id: call.id, name: call.name, input }];
    warnings.push(`A call of ${shown(call.name)} is left out: its input is no whole JSON object.`);
    return [];
  });
  return { calls, warnings };
}

function inputOf({ arguments: given }: ToolCall): object | null {
  if (given.trim() === "") return {};
  try {
    const input: unknown = JSON.parse(given);
    return typeof input === "object" && !Array.isArray(input) ? input : null;
  } catch {
    return null;
  }
}

/** An answer that was cut off may lack a part of its calls. */
export function stopReasonOf({ finishReason }: TaskResult, hasCalls: boolean): (typeof STOP_REASONS)[number] {
  if (finishReason === "length") return "max_tokens";
  return hasCalls ? "tool_use" : "end_turn";
}

/** A server behind a GPU may not count the tokens of a prompt; clients insist on a number. */
export function usageOf({ promptTokens, cachedTokens, completionTokens }: TaskResult): AnthropicUsage {
  const cached = cachedTokens ?? 0;
  return {
    input_tokens: Math.max(0, (promptTokens ?? 0) - cached),
    output_tokens: completionTokens,
    cache_read_input_tokens: cached,
    cache_creation_input_tokens: 0,
  };
}
