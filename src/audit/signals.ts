/** Actions brought about by signals of the system, for the audit log. */
import type { ReloadReport } from "../config/config.ts";
import { AltLasError } from "../errors.ts";
import type { Audit } from "./audit-log.ts";

/** Has the configuration read again, and leaves a row with the keys that have changed. @throws what `reload` throws */
export function reloadBySignal(reload: () => ReloadReport, audit: Audit): ReloadReport {
  const leave = (outcome: string, details: string | null): void =>
    audit.record({
      way: "signal",
      user: null,
      key: null,
      address: null,
      action: "config.reload",
      target: null,
      outcome,
      details,
    });
  try {
    const report = reload();
    const { added, changed, removed } = report.models;
    const keys = [...report.now, ...([...added, ...changed, ...removed].length > 0 ? ["models"] : [])];
    leave("ok", keys.join(", ") || null);
    return report;
  } catch (error) {
    leave(error instanceof AltLasError ? error.code : "internal_error", null);
    throw error;
  }
}
