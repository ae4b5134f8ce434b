/** The routes of a running server's control socket, for commands on this machine; each is a line, and its work is done elsewhere. */
import type { BackupParts } from "./backup/backup.ts";
import { BACKUP_ROUTE } from "./backup/leftovers.ts";
import type { LiveSettings } from "./config/config.ts";
import type { ControlRoutes } from "./control/server.ts";
import type { Credentials } from "./auth/credentials.ts";
import type { ServerForgetParts } from "./forget/server.ts";
import { serverStatus, STATUS_ROUTE } from "./doctor/server-status.ts";
import { readinessOf } from "./http/readiness.ts";
import type { TaskBook } from "./tasks/task-book.ts";
import type { AnyPool } from "./gpu/any-pool.ts";
import { modelCommands } from "./models/commands.ts";
import type { ModelRegistry } from "./models/registry.ts";
import type { Retention } from "./store/retention.ts";

interface Parts extends Omit<BackupParts, "copier">, ServerForgetParts {
  readonly live: LiveSettings;
  readonly retention: Retention;
  readonly models: ModelRegistry;
  readonly pool: AnyPool;
  readonly store: BackupParts["copier"] & { readonly lost: AbortSignal };
  readonly tasks: TaskBook;
  readonly credentials: Credentials;
  readonly driverNotes: readonly string[];
  /** Where it listens, once it does. */
  readonly at: { readonly addresses: readonly string[] };
}

export function controlRoutes(parts: Parts): ControlRoutes {
  const { live, retention, models, pool, store, databasePath, dataDir } = parts;
  const readiness = () => readinessOf({ ...parts, lost: store.lost });
  return {
    [STATUS_ROUTE]: async () => serverStatus({ ...parts, readiness }),
    "POST /reload": async () => live.reload(),
    "POST /forget": async (body) => (await import("./forget/server.ts")).forgetRoute(parts, body),
    "POST /history": async (body) => (await import("./lab/history.ts")).historyRoute(parts.texts.tasks, body),
    "POST /sweep": (_body, signal) => retention.sweepNow(signal),
    ...modelCommands(models, () => pool.instances()),
    [BACKUP_ROUTE]: async (_body, signal) => {
      const { beginBackup } = await import("./backup/backup.ts");
      return beginBackup({ copier: store, databasePath, dataDir }, signal);
    },
  };
}
