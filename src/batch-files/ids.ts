/** The ids of batches of files: UUIDs, which clients see without dashes behind `batch_`, as OpenAI's API has them. */
import { hexOf, uuidBehind } from "../common/uuid.ts";

const PREFIX = "batch_";

export function shownBatchId(id: string): string {
  return PREFIX + hexOf(id);
}

/** null: it is none. */
export function batchIdOf(shown: string): string | null {
  return uuidBehind(PREFIX, shown);
}
