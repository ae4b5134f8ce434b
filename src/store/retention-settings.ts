/** How long what is stored is kept, as the configuration has it. */
import type { Config } from "../config/config.ts";
import { KEYS_LIVE } from "../tasks/idempotency.ts";
import type { RetentionOptions } from "./retention.ts";

type Kept = "retention" | "maxStored" | "keysLive" | "usageKept" | "auditKept" | "unread" | "ofUsers";

/** @param live the configuration as it holds now */
export function retentionSettings(config: Config, live: { readonly config: Config }): Pick<RetentionOptions, Kept> {
  const { retention, max_stored: maxStored = null } = config.tasks;
  return {
    retention: retention * 1000,
    maxStored,
    keysLive: KEYS_LIVE,
    usageKept: config.usage.retention * 1000,
    auditKept: config.audit.retention === 0 ? null : config.audit.retention * 1000,
    unread: () => live.config.store.unread_seconds * 1000,
    ofUsers: () =>
      Object.entries(live.config.callers.users).flatMap(([user, { retention: own }]) =>
        own === undefined ? [] : [{ user, retention: own * 1000 }],
      ),
  };
}
