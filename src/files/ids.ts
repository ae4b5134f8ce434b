/** The ids of files: UUIDs, which clients see without dashes behind `file-`, as OpenAI's API has them. */
import { hexOf, uuidBehind } from "../common/uuid.ts";

const PREFIX = "file-";

export function shownFileId(id: string): string {
  return PREFIX + hexOf(id);
}

/** null: it is none. */
export function fileIdOf(shown: string): string | null {
  return uuidBehind(PREFIX, shown);
}

/** The Unix milliseconds in a UUID of version 7 (RFC 9562, 5.7). */
export function timeOfId(id: string): number {
  return Number.parseInt(id.slice(0, 13).replace("-", ""), 16);
}

/** Whether the time is in it. */
export function hasTime(id: string): boolean {
  return id[14] === "7";
}
