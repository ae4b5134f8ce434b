/** Checks and steps that a server of a cluster adds to its requests while it leads. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { AltLasError } from "../../errors.ts";
import { isFinal } from "../../task.ts";
import { maySee } from "../access.ts";
import type { TaskPath } from "../lookup.ts";
import { UNSURE } from "../readiness.ts";
import type { ServerParts } from "../server-parts.ts";

/** Their answers about a task that has ended stay what they are, whoever leads. */
export const TASK_ROUTE = "/api/v1/task/:task_id";
export const EVENTS_ROUTE = `${TASK_ROUTE}/events`;
const OF_TASKS: ReadonlySet<string | undefined> = new Set([TASK_ROUTE, EVENTS_ROUTE]);

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
    if (!leads() && !(await isAboutEnded(request, tasks))) throw refusal(UNSURE, LATER);
  });
  closed.addHook("preSerialization", async (request, _reply, payload) => {
    if (request.method !== "GET" && changesWhatIsShared(request)) await share();
    return payload;
  });
}

const LATER = "Try again in a few seconds.";

/** The reason why a server that stands by knows of none that leads. @param seesDatabase whether it could ask the database when it last tried */
export function whyNobodyLeads(seesDatabase: boolean): string {
  return seesDatabase
    ? "No server leads the cluster at the moment."
    : "This server cannot reach the task database on PostgreSQL, so it does not know which server leads the cluster.";
}

/** The refusal while no server of the cluster leads, or this one does not know which. */
export function nobodyLeads(seesDatabase: boolean): AltLasError {
  return refusal(whyNobodyLeads(seesDatabase), seesDatabase ? "One will in a few seconds: try again then." : LATER);
}

function refusal(why: string, next: string): AltLasError {
  return new AltLasError("not_ready", `${why} ${next}`, { retryAfter: 1 });
}

async function isAboutEnded(request: FastifyRequest, tasks: ServerParts["tasks"]): Promise<boolean> {
  if (request.method !== "GET" || !OF_TASKS.has(request.routeOptions.url)) return false;
  const { task_id: id } = request.params as TaskPath;
  const task = await tasks.get(id.toLowerCase());
  // Texts that go when they are read are removed by whoever leads. To others it looks as if it were not there.
  return task !== null && isFinal(task.status) && task.texts === "keep" && maySee(request.caller, task);
}

function changesWhatIsShared({ routeOptions }: FastifyRequest): boolean {
  const action = routeOptions.config.audit ?? "";
  return action.startsWith("gpu.") || action.startsWith("config.");
}
