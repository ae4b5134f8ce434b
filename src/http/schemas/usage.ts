/** Usage by hours and days. */
import { Type, type Static } from "../../common/type.ts";
import { closed, oneOf, orNull, Time, TIME_EXAMPLE } from "./common.ts";

/** The keys that usage can be told apart by. */
export const USAGE_BY = ["user", "team", "key", "model", "gpu", "day", "hour"] as const;
export type UsageBy = (typeof USAGE_BY)[number];

export const UsageQuery = closed({
  from: Type.Optional(
    Type.String({
      description:
        "Only hours that begin on this day or at this time, or later: a day like 2026-11-01, or ISO 8601 with zone (in a URL, + is written %2B). Default: the beginning of the day 29 days before the last one.",
      examples: ["2026-11-01"],
    }),
  ),
  to: Type.Optional(
    Type.String({
      description: "Only hours that begin on this day or before, or before this time, as from. Default: now.",
      examples: ["2026-11-30"],
    }),
  ),
  tz: Type.String({
    default: "UTC",
    description:
      "The zone of all days, from the IANA database. An hour (UTC) belongs to the day on which it begins there, also where half of it is on the next one.",
    examples: ["Europe/Istanbul"],
  }),
  by: Type.String({
    default: "user",
    description: `What to tell apart, separated by commas: ${USAGE_BY.join(", ")}. The rows are sorted by these.`,
    examples: ["user,day"],
  }),
  format: Type.Optional(
    oneOf(["json", "csv"], { description: "Default: what Accept asks for, and JSON if it asks for nothing." }),
  ),
});
export type UsageQuery = Static<typeof UsageQuery>;

const sums = {
  tasks: Type.Integer({ description: "Tasks that ended: the next three together." }),
  completed: Type.Integer(),
  failed: Type.Integer(),
  canceled: Type.Integer(),
  prompt_tokens: orNull<number>("integer", {
    description:
      "Here and below, tasks of which it is not known are left out; null: it is known of none. All attempts count.",
  }),
  completion_tokens: Type.Integer(),
  cached_tokens: orNull<number>("integer", {
    description: "Of prompt_tokens, those that KV caches held already.",
  }),
  gpu_seconds: Type.Number({ description: "See `usage` of a task." }),
  energy_joules: orNull<number>("number"),
  queued_seconds: Type.Number({ description: "That the tasks waited before their last attempts, all together." }),
};

export const UsageTotal = Type.Object(sums);
export type UsageTotal = Static<typeof UsageTotal>;

/** The columns of sums, in the order of a table. */
export const USAGE_SUMS = Object.keys(sums) as readonly (keyof UsageTotal)[];

const UsageRowView = Type.Object(
  {
    user: Type.Optional(Type.String()),
    team: Type.Optional(
      orNull<string>("string", { description: "That the user was in when it submitted them; null: none." }),
    ),
    key: Type.Optional(orNull<string>("string", { description: "Name of the API key; null: none." })),
    model: Type.Optional(orNull<string>("string", { description: "null: none ran them." })),
    gpu: Type.Optional(orNull<number>("integer", { description: "A gpu_id; null: none had them." })),
    day: Type.Optional(Type.String({ format: "date", description: "In the zone tz." })),
    hour: Type.Optional(Time("When the hour begins.")),
    ...sums,
  },
  { description: "Tasks that ended in that time, each as a whole." },
);
export type UsageRowView = Static<typeof UsageRowView>;

const SUMS_EXAMPLE = {
  tasks: 12,
  completed: 10,
  failed: 1,
  canceled: 1,
  prompt_tokens: 480,
  completion_tokens: 1200,
  cached_tokens: 300,
  gpu_seconds: 25.5,
  energy_joules: 7650,
  queued_seconds: 3.2,
};

export const UsageAnswer = Type.Object(
  {
    from: Time("When the first hour begins that counts."),
    to: Time("When the last hour ends that counts."),
    tz: Type.String(),
    by: Type.Array(oneOf(USAGE_BY)),
    rows: Type.Array(UsageRowView),
    total: UsageTotal,
  },
  {
    examples: [
      {
        from: "2026-11-01T00:00:00.000Z",
        to: "2026-12-01T00:00:00.000Z",
        tz: "UTC",
        by: ["user", "day"],
        rows: [{ user: "ada", day: "2026-11-29", ...SUMS_EXAMPLE }],
        total: SUMS_EXAMPLE,
      },
    ],
  },
);
export type UsageAnswer = Static<typeof UsageAnswer>;

export const UsageCsv = Type.String({
  description: "The same rows, without the total (RFC 4180).",
  examples: [
    `user,day,${USAGE_SUMS.join()}\r\nada,${TIME_EXAMPLE.slice(0, 10)},${Object.values(SUMS_EXAMPLE).join()}\r\n`,
  ],
});
