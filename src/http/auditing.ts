/**
 * Rows of the audit log for what clients do. A route that changes what the server as a whole does names its action in its `config`, and leaves
 * one row for each request whose caller is known; a route of its own kind calls `auditOf`.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from "fastify";
import type { AuditAction } from "../audit/actions.ts";
import type { Audit } from "../audit/audit-log.ts";
import { Tally } from "../auth/tally.ts";
import type { Caller } from "../auth/credentials.ts";
import { accessOf } from "./access.ts";
import type { Proxies } from "./proxies.ts";

/** Further fields of a row. None of them may be a secret. */
export interface AuditNote {
  /** The object of the action; absent: the one that the path names. */
  readonly target?: string;
  readonly details?: string;
}

declare module "fastify" {
  interface FastifyContextConfig {
    /** The action of its requests in the audit log; absent: none. */
    readonly audit?: AuditAction;
  }
  interface FastifyRequest {
    /** Leaves a row: the caller has done this. */
    audit(action: AuditAction, note?: AuditNote): void;
  }
}

/** Notes of handlers about requests whose routes leave a row. */
const NOTES = new WeakMap<FastifyRequest, AuditNote>();

/** Says more about a request whose route leaves a row. */
export function noteForAudit(request: FastifyRequest, note: AuditNote): void {
  NOTES.set(request, note);
}

/**
 * Lets routes leave rows. To be called with the instance of all routes that know their callers, before them.
 * @throws {Error} later, for a route that changes what the server does and names no action
 */
export function auditRoutes(app: FastifyInstance, audit: Audit, proxies: Proxies): void {
  const record = recorder(audit, proxies);
  app.decorateRequest("audit", function (this: FastifyRequest, action: AuditAction, note: AuditNote = {}) {
    record(this, action, "ok", note);
  });
  const onSend = hookOf(record);
  app.addHook("onRoute", (route) => {
    if (needsAction(route)) {
      const which = `${[route.method].flat().join()} ${route.url}`;
      throw new Error(`${which} changes what the server does: name its action (src/audit/actions.ts) as config.audit.`);
    }
    if (route.config?.audit !== undefined) route.onSend = [...[route.onSend ?? []].flat(), onSend];
  });
}

function needsAction(route: RouteOptions): boolean {
  const isRead = [route.method].flat().every((method) => method === "GET" || method === "HEAD");
  return !isRead && accessOf(route)?.scope === "admin" && route.config?.audit === undefined;
}

type Record = (request: FastifyRequest, action: AuditAction, outcome: string, note: AuditNote) => void;

function recorder(audit: Audit, proxies: Proxies): Record {
  return (request, action, outcome, { target, details }) => {
    const { name, keyName } = request.caller;
    audit.record({
      way: "http",
      user: name,
      key: keyName,
      address: proxies.clientOf(request.raw) || null,
      action,
      target: target === undefined ? pathTarget(request) : target || null,
      outcome,
      details: details ?? null,
    });
  };
}

/**
 * Leaves the row before the answer is out. Refusals cost a client nothing, so of the same one of a caller only the 1st, 2nd, 4th, 8th … has
 * a row.
 */
function hookOf(record: Record) {
  const refused = new Tally(() => performance.now());
  const done = new WeakSet<FastifyRequest>();
  return (
    request: FastifyRequest,
    reply: FastifyReply,
    payload: unknown,
    next: (error: null, payload: unknown) => void,
  ) => {
    const action = request.routeOptions.config.audit;
    const caller = request.caller as Caller | undefined;
    if (action !== undefined && caller !== undefined && !done.has(request)) {
      done.add(request);
      const note = NOTES.get(request) ?? {};
      if (reply.statusCode < 400) record(request, action, "ok", note);
      else {
        const outcome = request.refusal ?? "internal_error";
        const count = refused.add(JSON.stringify([caller.name, request.method, request.routeOptions.url, outcome]));
        const details = count === 1 ? {} : { details: `${count} times` };
        if (Number.isInteger(Math.log2(count))) record(request, action, outcome, { ...note, ...details });
      }
    }
    next(null, payload);
  };
}

/** The target that the path names; null: none. */
function pathTarget({ params }: FastifyRequest): string | null {
  const [first] = Object.values((params ?? {}) as { readonly [name: string]: unknown });
  return typeof first === "string" ? first : null;
}
