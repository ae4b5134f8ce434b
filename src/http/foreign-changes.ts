/** The log has who did something to what belongs to another user, and so has the audit log: its owner will ask. */
import type { FastifyRequest } from "fastify";
import type { AuditAction } from "../audit/actions.ts";
import type { Logger } from "../log/log.ts";

export interface ForeignChange {
  readonly action: AuditAction;
  /** The id of what was changed. */
  readonly target: string;
  /** Names it in the log, as in `{ task }`. */
  readonly about: object;
  /** The change, in words for the log. */
  readonly what: string;
}

/** Of what belongs to the caller itself it tells nothing. */
export function tellForeignChange(
  log: Logger,
  request: FastifyRequest,
  { user }: { readonly user: string },
  { action, target, about, what }: ForeignChange,
): void {
  const { name } = request.caller;
  if (name === user) return;
  log.info({ ...about, user, by: name }, what);
  request.audit(action, { target, details: `of ${user}` });
}

/** As `tellForeignChange` for a removal, which the audit log has of one's own things, too. */
export function tellRemoval(
  log: Logger,
  request: FastifyRequest,
  owned: { readonly user: string },
  change: ForeignChange,
): void {
  if (request.caller.name === owned.user) request.audit(change.action, { target: change.target });
  else tellForeignChange(log, request, owned, change);
}

/** Tells the audit log, and no other log, that requests or answers of another user leave the server with the caller. */
export function tellForeignRead(
  request: FastifyRequest,
  { user }: { readonly user: string },
  action: AuditAction,
  target: string,
): void {
  if (request.caller.name !== user) request.audit(action, { target, details: `of ${user}` });
}
