/** Checks and steps that a server of a cluster adds to its requests while it leads. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { AltLasError } from "../../errors.ts";
import { isFinal } from "../../task.ts";
import type { TaskPath } from "../lookup.ts";
import type { ServerParts } from "../server-parts.ts";

/** The only route whose answer may stay what it was, whoever leads. */
export const TASK_ROUTE = "/api/v1/task/:task_id";

/**
 *  1. A leader that has not heard from the database for a while answers nothing but tasks that have ended, as another one may lead by now.
 *  2. Changes that it was told to remember are where the next one to lead finds them, before it says so.
 */
export function answerAsLeader(
  closed: FastifyInstance,
  { tasks, member }: Pick<ServerParts, "tasks" | "member">,
): void {
  const { leads, share } = member!;
  closed.addHook("onRequest", async (request) => {
    if (!leads() && !(await isAboutEnded(request, tasks))) throw nobodyLeads();
  });
  closed.addHook("preSerialization", async (request, _reply, payload) => {
    if (request.method !== "GET" && changesWhatIsShared(request)) await share();
    return payload;
  });
}

/** The refusal while no server of the cluster leads. */
export function nobodyLeads(): AltLasError {
  const sentence = "No server leads the cluster at the moment. One will in a few seconds: try again then.";
  return new AltLasError("not_ready", sentence, { retryAfter: 1 });
}

async function isAboutEnded(request: FastifyRequest, tasks: ServerParts["tasks"]): Promise<boolean> {
  if (request.method !== "GET" || request.routeOptions.url !== TASK_ROUTE) return false;
  const { task_id: id } = request.params as TaskPath;
  const task = await tasks.get(id.toLowerCase());
  return task !== null && isFinal(task.status);
}

function changesWhatIsShared({ routeOptions }: FastifyRequest): boolean {
  const action = routeOptions.config.audit ?? "";
  return action.startsWith("gpu.") || action.startsWith("config.");
}
