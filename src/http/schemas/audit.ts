/** The audit log as admins read it. */
import { Type, type Static } from "../../common/type.ts";
import { AUDIT_CODES } from "../../audit/actions.ts";
import { BATCH_ID_EXAMPLE, closed, oneOf, orNull, Time, TIME_EXAMPLE } from "./common.ts";

/** Rows of an answer, and of a table. */
export const USUAL_ROWS = { json: 100, csv: 10_000 } as const;

export const AuditQuery = closed({
  user: Type.Optional(Type.String({ description: "Only what this user did, or was tried in its name." })),
  action: Type.Optional(oneOf(AUDIT_CODES as [string, ...string[]], { description: "Only this action." })),
  target: Type.Optional(Type.String({ description: "Only what was done to this, by its exact name or id." })),
  since: Type.Optional(
    Type.String({ description: "Only rows of this time or later: ISO 8601 with zone (in a URL, + is written %2B)." }),
  ),
  until: Type.Optional(Type.String({ description: "Only rows before this time." })),
  after: Type.Optional(Type.String({ description: "The `next` of another answer: only what follows there." })),
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: USUAL_ROWS.csv,
      description: `Rows to return at most. Default: ${USUAL_ROWS.json}; of a table ${USUAL_ROWS.csv}.`,
    }),
  ),
  format: Type.Optional(
    oneOf(["json", "csv"], { description: "Default: what Accept asks for, and JSON if it asks for nothing." }),
  ),
});
export type AuditQuery = Static<typeof AuditQuery>;

const AuditRowView = Type.Object({
  id: Type.String({ examples: [BATCH_ID_EXAMPLE] }),
  number: Type.Integer({ description: "Rows are numbered in their order; one that is missing was lost or removed." }),
  at: Time("When it was done."),
  way: oneOf(["http", "command", "signal"], {
    description: "http: a request. command: a command on the server's machine. signal: one of the system's.",
  }),
  user: orNull<string>("string", {
    description: "Who did it; of a command, the user of the system. null: nobody has said.",
  }),
  key: orNull<string>("string", { description: "The name of the API key; null: there was none." }),
  address: orNull<string>("string", {
    description: "Where it came from, as server.trust_proxy has it; of IPv6 the network. null: through no network.",
  }),
  action: Type.String({ examples: ["config.change"], description: "What it is; docs/audit.md lists all codes." }),
  target: orNull<string>("string", { description: "What it was done to; null: the server as a whole." }),
  outcome: Type.String({ examples: ["ok"], description: "ok, or the code of the failure." }),
  details: orNull<string>("string", { description: "What else there is to say, for people." }),
});
export type AuditRowView = Static<typeof AuditRowView>;

export const AUDIT_COLUMNS = Object.keys(AuditRowView.properties) as (keyof AuditRowView)[];

export const AuditAnswer = Type.Object(
  {
    rows: Type.Array(AuditRowView, { description: "The newest first." }),
    next: orNull<string>("string", { description: "Sent as `after`, it continues the list; null: this is its end." }),
  },
  {
    title: "AuditLog",
    examples: [
      {
        rows: [
          {
            id: BATCH_ID_EXAMPLE,
            number: 7,
            at: TIME_EXAMPLE,
            way: "http",
            user: "ada",
            key: "ada-1",
            address: "192.0.2.7",
            action: "config.change",
            target: null,
            outcome: "ok",
            details: "log.level",
          },
        ],
        next: null,
      },
    ],
  },
);
export type AuditAnswer = Static<typeof AuditAnswer>;

export const AuditCsv = Type.String({
  title: "AuditLogTable",
  description: "A table with the names of the columns in its first line.",
  examples: [`${AUDIT_COLUMNS.join()}\r\n`],
});
