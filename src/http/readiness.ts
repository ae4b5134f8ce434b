/** Whether the server is ready, from what its parts say. */
import type { Credentials } from "../auth/credentials.ts";
import { messageOf } from "../errors.ts";
import type { Readiness } from "../gpu/status.ts";
import type { ClusterMember } from "./server-parts.ts";

export interface ReadinessParts {
  readonly tasks: { readonly canSave: boolean };
  readonly pool: { readiness(): Readiness };
  /** `fetching`: a sentence about models that the server starts with; null: all are here. */
  readonly models: { readonly fetching: string | null };
  readonly credentials: Pick<Credentials, "trouble">;
  /** Aborted when the store is lost. */
  readonly lost: AbortSignal;
  readonly member?: Pick<ClusterMember, "leads"> | undefined;
}

/** The reason of a server that leads, as far as it knows. */
export const UNSURE =
  "This server has not heard from the task database on PostgreSQL for 2 seconds, so another one may lead the cluster by now.";

/** Whether a task sent now could finish, and could be sent at all. */
export function readinessOf({ tasks, pool, models, credentials, lost, member }: ReadinessParts): Readiness {
  if (lost.aborted) return { ready: false, reason: messageOf(lost.reason) };
  if (member?.leads() === false) return { ready: false, reason: UNSURE };
  if (!tasks.canSave) return { ready: false, reason: "Tasks cannot be written to disk." };
  const { trouble } = credentials;
  if (trouble?.isShut) return { ready: false, reason: trouble.sentence };
  const { ready, reason } = pool.readiness();
  if (!ready && models.fetching !== null) return { ready, reason: models.fetching };
  return { ready, reason: reason ?? trouble?.sentence ?? null };
}
