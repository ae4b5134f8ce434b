/** The calls that a request's choice of tools allows. */
import type { Tools } from "../../request.ts";
import type { ToolSyntax } from "./find-syntax.ts";

/** Whether an answer has to be calls alone. */
export function mustCall({ choice: chosen }: Tools): boolean {
  return chosen !== "auto";
}

/** Whether there may be several. */
export function maySeveral(
  { parallel, choice: chosen }: Tools,
  { severalCalls }: Pick<ToolSyntax, "severalCalls">,
): boolean {
  return parallel && severalCalls && typeof chosen === "string";
}
