/** Ids of calls of tools, for calls that come without one. */
import { randomBytes } from "node:crypto";

/** One that no other call has, in the form of OpenAI's. */
export function newToolCallId(): string {
  return `call_${randomBytes(12).toString("hex")}`;
}
