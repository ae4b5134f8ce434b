/** What the routes work with; main.ts brings the parts together. */
import { type Caller, type Credentials } from "../auth/credentials.ts";
import { type Config } from "../config.ts";
import { type GpuStatus, type Readiness } from "../gpu/status.ts";
import { type Logger } from "../log.ts";
import { type TaskApi } from "../scheduler/tasks.ts";

export interface ServerParts {
  readonly config: Config;
  readonly tasks: TaskApi;
  readonly gpus: () => readonly GpuStatus[];
  readonly readiness: () => Readiness;
  /** Whether the server is stopping: nothing new is taken then. */
  readonly draining: () => boolean;
  readonly credentials: Credentials;
  readonly log: Logger;
  readonly version: string;
}

declare module "fastify" {
  interface FastifyRequest {
    /** Who sent the request; set before any handler that needs credentials. */
    caller: Caller;
  }
}
