/* The statements of the audit log. Everything here blocks. */
import type { AuditFilter } from "../audit.ts";
import { AUDIT_READ } from "../thread/audit-rows.ts";
import type { Row } from "../thread/columns.ts";
import type { Statements } from "./statements.ts";

/** Rows that one step of a sweep looks at. */
const STEP = 500;

/** Each from its end of the table; asked for together, they would be looked for in all of it. */
const ENDS = "SELECT (SELECT min(number) FROM audit), (SELECT max(number) FROM audit)";
const REMOVE = `
  DELETE FROM audit WHERE number IN (SELECT number FROM audit ORDER BY number LIMIT ${STEP}) AND kept_from < :before`;

/** Some rows, newest first, and below which number the next ones are; null: there are none. */
export interface AuditPart {
  readonly rows: readonly Row[];
  readonly below: number | null;
}

/** @param atOnce rows that are looked at: whatever is selected, no more are read than these */
export function auditPart(sql: Statements, filter: AuditFilter, atOnce: number): AuditPart {
  const { user, action, target, since, until, after, limit } = filter;
  const [lowest, highest] = sql.rows(ENDS)[0] as readonly [number | null, number | null];
  if (lowest === null || highest === null) return { rows: [], below: null };
  const below = Math.min(after ?? Number.MAX_SAFE_INTEGER, highest + 1);
  const from = below - atOnce;
  const wanted = [
    "number < :below AND number >= :from",
    ...(user === undefined ? [] : ["user = :user"]),
    ...(action === undefined ? [] : ["action = :action"]),
    ...(target === undefined ? [] : ["target = :target"]),
    ...(since === undefined ? [] : ["at >= :since"]),
    ...(until === undefined ? [] : ["at < :until"]),
  ];
  const found = `SELECT ${AUDIT_READ.join()} FROM audit WHERE ${wanted.join(" AND ")} ORDER BY number DESC LIMIT :limit`;
  const rows = sql.rows(found, {
    below,
    from,
    user: user ?? null,
    action: action ?? null,
    target: target ?? null,
    since: since ?? null,
    until: until ?? null,
    limit,
  });
  return { rows, below: from > lowest ? from : null };
}

/** One step of a sweep. @param before by the server's clock @returns whether there may be more */
export function removeAudit(sql: Statements, before: number): boolean {
  return sql.run(REMOVE, { before }) > 0;
}
