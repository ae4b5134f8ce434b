/** Calls of tools, for people. */
import type { ToolCallView } from "../../http/schemas/tasks.ts";
import { legibleText } from "../../common/legible.ts";

/** A line for each: `name(arguments)`. */
export function linesOfCalls(calls: readonly ToolCallView[]): string {
  return calls.map(({ function: tool }) => legibleText(`${tool.name}(${tool.arguments})`)).join("\n");
}
