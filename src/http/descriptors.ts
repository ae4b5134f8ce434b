/** How many connections the process can have beside everything else that it opens. */
import { openFiles } from "../common/open-files.ts";

/** Workers, the store's files, webhooks, name servers; a share where descriptors are few, and never more than this. */
const MOST_KEPT_FREE = 1000;
const LEAST_KEPT_FREE = 32;
const LEAST_CONNECTIONS = 16;

/** As the system says; Infinity where it does not say it as Linux does. */
export function connectionRoom(): number {
  const files = openFiles();
  return files === null ? Infinity : roomWithin(files.limit, files.open);
}

/** @param limit how many descriptors the process may have @param open how many it has */
export function roomWithin(limit: number, open: number): number {
  const free = Math.min(MOST_KEPT_FREE, Math.max(LEAST_KEPT_FREE, Math.floor(limit / 4)));
  return Math.max(LEAST_CONNECTIONS, limit - open - free);
}
