/** The limits of single users that are asked for by their names: a user's own, or else those of all. */
import type { Config } from "./schema.ts";

/** Limits that are whole numbers, or "unlimited". */
export type CallerLimitKey =
  | "max_stored_bytes"
  | "max_files"
  | "max_uploaded_bytes"
  | "max_webhooks"
  | "max_connections"
  | "max_open_requests";

export interface CallerLimit {
  readonly most: number;
  /** Like `callers.users.bob.max_files`. */
  readonly setIn: string;
}

/** @returns null: nothing is said, or "unlimited" */
export function callerLimit(
  { defaults, users }: Config["callers"],
  user: string,
  key: CallerLimitKey,
): CallerLimit | null {
  const own = Object.hasOwn(users, user) ? users[user]![key] : undefined;
  const most = own ?? defaults[key];
  if (typeof most !== "number") return null;
  // null stands for nothing, too.
  return { most, setIn: `callers.${(own ?? null) === null ? "defaults" : `users.${user}`}.${key}` };
}
