/** The parts that the routes work with; main.ts brings them together. */
import type { Forgotten } from "../forget/forget.ts";
import type { Audit } from "../audit/audit-log.ts";
import type { ClusterApi, ServerStatus } from "../cluster/status.ts";
import type { Caller, Credentials } from "../auth/credentials.ts";
import type { BatchFileApi } from "../batch-files/batch-file-api.ts";
import type { Config, LiveSettings } from "../config/config.ts";
import type { Files } from "../files/files.ts";
import type { FileSource } from "../files/source.ts";
import type { ModelStatus } from "../gpu/models.ts";
import type { GpuStatus, Readiness } from "../gpu/status.ts";
import type { ModelCatalog } from "../models/catalog.ts";
import type { Kept } from "../auth/kept.ts";
import type { Logger } from "../log/log.ts";
import type { EventRing } from "../observe/event-ring.ts";
import type { TextRequest } from "../request.ts";
import type { AuditStore } from "../store/audit.ts";
import type { UsageStore } from "../store/usage.ts";
import type { TaskInput } from "../task.ts";
import type { TaskApi, TaskSnapshot } from "../tasks/task-api.ts";
import type { WebhookApi } from "../webhooks/webhook-api.ts";

export type RunningTask = Pick<TaskSnapshot, "id" | "user" | "team" | "startedAt">;

export interface DrainOptions {
  /** Seconds after which tasks that still run there go back into the queue; null: they may take as long as they need. */
  readonly deadlineSeconds: number | null;
  /** The user who asked. */
  readonly by: string;
}

export interface ServerParts {
  /** As it was at the start: for what does not change while the server runs. */
  readonly config: Config;
  /** The configuration as it holds now, and its changes. */
  readonly live: Pick<LiveSettings, "config" | "values" | "sourceOf" | "patch">;
  readonly tasks: TaskApi;
  readonly usage: UsageStore;
  /** Remembers who did what. */
  readonly audit: Audit;
  /** The rows of the audit log. */
  readonly auditRows: AuditStore;
  readonly webhooks: WebhookApi;
  /** All files that clients see. */
  readonly files: FileSource;
  /** Takes new ones. */
  readonly uploads: Pick<Files, "receive" | "refuseIfFull">;
  /** The batches of their lines. */
  readonly batchFiles: BatchFileApi;
  readonly gpus: () => readonly GpuStatus[];
  /** All that requests may ask for: those by name in their order, then the devices' own that were loaded. */
  readonly models: () => readonly ModelStatus[];
  /**
   * Tokens of a prompt, as a model counts them that may run the task; null: none that is loaded can tell.
   * @throws {AltLasError} the request can become no prompt of that model
   */
  readonly countTokens: (request: TextRequest, meant: Pick<TaskInput, "model" | "taskType">) => Promise<number | null>;
  /** The models with all that operators want to know, and what they can have done. */
  readonly catalog: Pick<ModelCatalog, "list" | "named" | "load" | "unload" | "pull" | "remove">;
  /** Sentences of drivers that are installed and list no GPU; absent: none. */
  readonly driverNotes?: readonly string[];
  /** The latest operators' events of this run. */
  readonly events: EventRing;
  /** The tasks that run on a GPU now. */
  readonly runningOn: (gpuId: number) => readonly RunningTask[];
  /** Takes a GPU out of service; asking again for one that is out already is no mistake. */
  readonly drainGpu: (gpuId: number, options: DrainOptions) => void;
  /** Ends a drain, and has a GPU that is faulted or unfit tried again at once. `by`: who asked. */
  readonly resumeGpu: (gpuId: number, by: string) => void;
  /** Absent: this server serves alone. */
  readonly cluster?: ClusterApi | undefined;
  /** Removes what is stored of a user. */
  readonly forget: (user: string) => Promise<Forgotten>;
  readonly readiness: () => Readiness;
  /** Whether the server is stopping: nothing new is taken then. */
  readonly draining: () => boolean;
  readonly credentials: Credentials;
  /** Aborted when the store is lost for good, for the reason that requests are refused with; left out: that is never known. */
  readonly lost?: AbortSignal;
  /** The metrics for Prometheus; left out: `metrics.enabled` is false. */
  readonly metrics?: (() => Promise<{ readonly contentType: string; readonly text: string }>) | undefined;
  readonly log: Logger;
  readonly version: string;
  /** This server as a member of its cluster; absent: it is alone. */
  readonly member?: ClusterMember | undefined;
}

/** A server of a cluster that has several. */
export interface ClusterMember {
  /** By which it knows requests that another server passes on. */
  readonly secret: string;
  /** Whether it surely leads still: another one may, when it has not heard from the database for a while. */
  readonly leads: () => boolean;
  /** All servers of the cluster. @throws {AltLasError} the database cannot be asked */
  readonly servers: () => Promise<readonly ServerStatus[]>;
  /** Sign-ins and tickets, for the next server to lead. */
  readonly kept: Kept;
  /** Tells the next server to lead of what was changed. Resolves when that is stored, and this server has led by then. @throws {AltLasError} `store_unavailable` */
  readonly share: () => Promise<void>;
}

/** The parts that a server needs before it has routes. */
export type AppParts = Pick<ServerParts, "config" | "live" | "log" | "member">;

/** The parts that routes have as they are made; the others are put together for them. */
export type PlainParts = Pick<
  ServerParts,
  | "config"
  | "live"
  | "credentials"
  | "driverNotes"
  | "events"
  | "log"
  | "webhooks"
  | "files"
  | "uploads"
  | "batchFiles"
  | "metrics"
  | "usage"
  | "audit"
  | "auditRows"
  | "forget"
  | "cluster"
>;

declare module "fastify" {
  interface FastifyRequest {
    /** The sender of the request; set before any handler that needs credentials. */
    caller: Caller;
  }
}
