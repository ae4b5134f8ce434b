/** `GET /usage`: who used the GPUs, for what, and what it cost. */
import type { FastifyInstance } from "fastify";
import { wallTime } from "../common/clock.ts";
import { mapInTurns, SMALL_AT_ONCE } from "../common/turns.ts";
import { timeIn } from "../common/given-time.ts";
import { shown } from "../common/validation.ts";
import { dayAfter, HOUR, isDay, Zone } from "../common/zone.ts";
import { AltLasError } from "../errors.ts";
import { ownersFor } from "./access.ts";
import { csvOf, wantsCsv } from "./csv.ts";
import {
  USAGE_BY,
  USAGE_SUMS,
  UsageAnswer,
  type UsageBy,
  UsageCsv,
  UsageQuery,
  type UsageRowView,
} from "./schemas/usage.ts";
import type { ServerParts } from "./server-parts.ts";
import { reportOf } from "./usage-report.ts";

/** The hour after those of the last day that may be named. */
const LAST_HOUR = Date.parse("3000-01-01T00:00:00Z") / HOUR;
/** Days of an answer to whoever names no time, with the last one. */
const USUAL_DAYS = 30;

export function usageRoute(app: FastifyInstance, { usage }: ServerParts): void {
  app.route<{ Querystring: UsageQuery }>({
    method: "GET",
    url: "/usage",
    schema: {
      operationId: "getUsage",
      summary: "What ended tasks have cost, by user, key, model, GPU, day or hour",
      description:
        "A `user` sees its own usage, a `viewer` that has a team the team's, the others all. Hours are kept for `usage.retention` seconds.",
      tags: ["usage"],
      querystring: UsageQuery,
      response: {
        200: {
          content: { "application/json": { schema: UsageAnswer }, "text/csv": { schema: UsageCsv } },
        },
      },
      refusals: ["store_unavailable"],
    },
    handler: async (request, reply) => {
      const { caller, query, headers, method } = request;
      const by = wordsIn(query.by);
      const zone = zoneIn(query.tz);
      const time = timeOf(query, zone);
      const report = await reportOf(usage, { ...time, zone, by, ...ownersFor(caller) });
      reply.header("vary", "accept");
      if (!wantsCsv(query.format, headers.accept))
        return reply.type("application/json; charset=utf-8").send(await jsonOf(report));
      if (method === "GET") request.audit("export.usage", { details: by.join() });
      return reply
        .type("text/csv; charset=utf-8; header=present")
        .header("content-disposition", 'attachment; filename="usage.csv"')
        .send(await tableOf(by, report.rows));
    },
  });
}

/** There may be many rows. */
async function jsonOf({ rows, total, ...rest }: UsageAnswer): Promise<string> {
  const written = await mapInTurns(rows, (row) => JSON.stringify(row), SMALL_AT_ONCE);
  return `${JSON.stringify(rest).slice(0, -1)},"rows":[${written.join()}],"total":${JSON.stringify(total)}}`;
}

async function tableOf(by: readonly UsageBy[], rows: readonly UsageRowView[]): Promise<string> {
  const columns = [...by, ...USAGE_SUMS];
  const lineOf = (row: UsageRowView): string => csvOf([columns.map((column) => row[column] ?? null)]);
  return csvOf([columns]) + (await mapInTurns(rows, lineOf, SMALL_AT_ONCE)).join("");
}

/** @throws {AltLasError} `invalid_input` */
function wordsIn(given: string): readonly UsageBy[] {
  const words = given.split(",").map((word) => word.trim());
  const known = words.filter((word): word is UsageBy => USAGE_BY.some((one) => one === word));
  if (known.length === words.length && new Set(known).size === known.length) return known;
  throw refused("by", `a list of ${USAGE_BY.join(", ")}, separated by commas, each once`, given);
}

/** @throws {AltLasError} `invalid_input` */
function zoneIn(given: string): Zone {
  const zone = Zone.named(given);
  if (zone !== null) return zone;
  throw refused("tz", 'a zone of the IANA database, like "Europe/Istanbul"', given);
}

/** The hours that are meant. @throws {AltLasError} `invalid_input` */
function timeOf({ from: first, to: last }: UsageQuery, zone: Zone): { readonly from: number; readonly to: number } {
  const to = last === undefined ? Math.floor(wallTime() / HOUR) + 1 : hourOf("to", last, zone);
  const usual = (): number => zone.firstHourOf(dayAfter(zone.dayOf(to - 1), 1 - USUAL_DAYS));
  const from = first === undefined ? usual() : hourOf("from", first, zone);
  if (from < to) return { from, to };
  throw new AltLasError("invalid_input", `from must be before to; got ${shown(first)} and ${shown(last ?? "now")}.`, {
    param: "from",
  });
}

/** The first hour that begins at that time or later; of a day that is the last one, the first one after it. */
function hourOf(field: "from" | "to", given: string, zone: Zone): number {
  if (isDay(given)) return zone.firstHourOf(field === "to" ? dayAfter(given) : given);
  const time = timeIn(given);
  // No hour is before the first that is counted, and a year has four digits.
  if (time !== undefined) return Math.min(Math.max(Math.ceil(time / HOUR), 0), LAST_HOUR);
  throw refused(field, 'a day like "2026-11-29", or a time with its zone like "2026-11-29T12:00:00Z"', given);
}

function refused(field: string, allowed: string, given: string): AltLasError {
  return new AltLasError("invalid_input", `${field} must be ${allowed}; got ${shown(given)}.`, { param: field });
}
