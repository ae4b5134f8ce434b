/** `alt-las audit`: who did what to what as a table, newest first. */
import { said } from "../../words/terminal.ts";
import { jsonText, legible } from "../../common/legible.ts";
import type { AuditAnswer, AuditRowView } from "../../http/schemas/audit.ts";
import { ask, type Remote } from "./client.ts";
import { type Column, fittedTable, type Row } from "./fitted-table.ts";
import type { Look } from "./tasks.ts";
import { whenOf } from "./times.ts";

const COLUMNS: readonly Column[] = [
  { title: "WHEN" },
  { title: "USER", isName: true },
  { title: "KEY", isName: true, spare: 3 },
  { title: "FROM", spare: 2 },
  { title: "ACTION" },
  { title: "TARGET", isName: true },
  { title: "OUTCOME" },
  { title: "DETAILS", isName: true, spare: 1 },
];

/** @param filters of `GET /audit`, as they were given: the server says what is wrong with them @returns the text to print */
export async function auditCommand(
  remote: Remote,
  filters: Readonly<Record<string, string>>,
  look: Look & { readonly json: boolean },
): Promise<string> {
  const query = new URLSearchParams({ ...filters, format: "json" });
  const answer = (await ask(remote, `audit?${query}`, "rows")) as AuditAnswer;
  if (look.json) return jsonText(answer, 2);
  const { rows, next } = legible(answer);
  if (rows.length === 0) return said("No row matches.");
  const table = fittedTable(
    COLUMNS,
    rows.map((row) => rowOf(row, look)),
    look.columns,
  );
  return next === null ? table : `${table}\n\n${said(`Older ones follow: --after ${next}`)}`;
}

function rowOf({ at, way, user, key, address, action, target, outcome, details }: AuditRowView, { now }: Look): Row {
  const from = address ?? (way === "command" ? said("this machine") : way);
  return {
    cells: [whenOf(at, now), user ?? "-", key ?? "-", from, action, target ?? "-", outcome, details ?? "-"],
  };
}
