/** `GET /audit`: who did what to what. */
import type { FastifyInstance } from "fastify";
import { isoTime } from "../common/clock.ts";
import { mapInTurns, SMALL_AT_ONCE } from "../common/turns.ts";
import type { AuditEntry } from "../store/audit.ts";
import { administration } from "./access.ts";
import { csvOf, wantsCsv } from "./csv.ts";
import { cursorOf, seqOfCursor, timeOf } from "./filter.ts";
import { AUDIT_COLUMNS, AuditAnswer, AuditCsv, AuditQuery, type AuditRowView, USUAL_ROWS } from "./schemas/audit.ts";
import type { ServerParts } from "./server-parts.ts";

export function auditRoute(app: FastifyInstance, { auditRows }: ServerParts): void {
  app.route<{ Querystring: AuditQuery }>({
    method: "GET",
    url: "/audit",
    onRequest: administration("Reading the audit log"),
    schema: {
      operationId: "getAuditLog",
      summary: "Who did what to what, newest first",
      description:
        "Rows are kept for `audit.retention` seconds. The answer's `next`, sent as `after`, continues it; a table that goes on has the header Link. Needs the role admin.",
      tags: ["audit"],
      querystring: AuditQuery,
      response: {
        200: { content: { "application/json": { schema: AuditAnswer }, "text/csv": { schema: AuditCsv } } },
      },
      refusals: ["forbidden", "store_unavailable"],
    },
    handler: async (request, reply) => {
      const { query, headers, url, method } = request;
      const isCsv = wantsCsv(query.format, headers.accept);
      const limit = query.limit ?? USUAL_ROWS[isCsv ? "csv" : "json"];
      const entries = await auditRows.list({ ...filterOf(query), limit });
      const last = entries.length < limit ? undefined : entries.at(-1);
      const next = last === undefined ? null : cursorOf(last.number);
      reply.header("vary", "accept");
      const rows = entries.map(viewOf);
      if (!isCsv) return reply.type("application/json; charset=utf-8").send(await jsonOf(rows, next));
      if (method === "GET") request.audit("export.audit", { details: `${rows.length} rows` });
      if (next !== null) reply.header("link", `<${continuing(url, next)}>; rel="next"`);
      return reply
        .type("text/csv; charset=utf-8; header=present")
        .header("content-disposition", 'attachment; filename="audit.csv"')
        .send(await tableOf(rows));
    },
  });
}

/** @throws {AltLasError} `invalid_input` */
function filterOf({ user, action, target, since, until, after }: AuditQuery) {
  return {
    user: user?.toWellFormed(),
    action,
    target: target?.toWellFormed(),
    since: timeOf("since", since),
    until: timeOf("until", until),
    after: seqOfCursor(after),
  };
}

function viewOf({ keptFrom: _kept, at, ...entry }: AuditEntry): AuditRowView {
  return { ...entry, at: isoTime(at) };
}

async function jsonOf(rows: readonly AuditRowView[], next: string | null): Promise<string> {
  const written = await mapInTurns(rows, (row) => JSON.stringify(row), SMALL_AT_ONCE);
  return `{"rows":[${written.join()}],"next":${JSON.stringify(next)}}`;
}

async function tableOf(rows: readonly AuditRowView[]): Promise<string> {
  return csvOf([AUDIT_COLUMNS]) + (await mapInTurns(rows, lineOf, SMALL_AT_ONCE)).join("");
}

function lineOf(row: AuditRowView): string {
  return csvOf([AUDIT_COLUMNS.map((column) => row[column])]);
}

/** The same question, for what comes after. */
function continuing(url: string, next: string): string {
  const search = new URLSearchParams(url.split("?", 2)[1] ?? "");
  search.set("after", next);
  return `?${search.toString()}`;
}
