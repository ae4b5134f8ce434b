/* The rows of the audit log. */
import type { AuditEntry, AuditRow, AuditWay } from "../audit.ts";
import { type Columns, namesOf, placesOf, rowMaker, type Row } from "./columns.ts";

const AUDIT_COLUMNS = {
  id: ({ id }) => id,
  at: ({ at }) => at,
  kept_from: ({ keptFrom }) => keptFrom,
  way: ({ way }) => way,
  user: ({ user }) => user,
  key_name: ({ key }) => key,
  address: ({ address }) => address,
  action: ({ action }) => action,
  target: ({ target }) => target,
  outcome: ({ outcome }) => outcome,
  details: ({ details }) => details,
} as const satisfies Columns<AuditRow>;

export const AUDIT = namesOf(AUDIT_COLUMNS);
export const rowOfAudit = rowMaker<AuditRow>(AUDIT_COLUMNS);
/** A row that is read has its number first. */
export const AUDIT_READ = ["number", ...AUDIT] as const;
const IN_READ = placesOf(AUDIT_READ);

/** The entry of a row that was read. */
export function auditOf(row: Row): AuditEntry {
  return {
    number: row[IN_READ.number] as number,
    id: row[IN_READ.id] as string,
    at: row[IN_READ.at] as number,
    keptFrom: row[IN_READ.kept_from] as number,
    way: row[IN_READ.way] as AuditWay,
    user: row[IN_READ.user] as string | null,
    key: row[IN_READ.key_name] as string | null,
    address: row[IN_READ.address] as string | null,
    action: row[IN_READ.action] as string,
    target: row[IN_READ.target] as string | null,
    outcome: row[IN_READ.outcome] as string,
    details: row[IN_READ.details] as string | null,
  };
}
