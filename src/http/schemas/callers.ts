/** `GET /callers`. */
import { Type, type Static } from "../../common/type.ts";
import { PERIODS } from "../../common/calendar-period.ts";
import { HOLDERS } from "../../scheduler/budget-kinds.ts";
import { oneOf, orNull, Time } from "./common.ts";

const NO_LIMIT = "null: no limit.";

export const BudgetView = Type.Object({
  of: oneOf(HOLDERS, { description: "Whose it is." }),
  name: Type.String({ description: "The name of the user, the team or the key." }),
  unit: oneOf(["tokens", "gpu_seconds"]),
  period: oneOf(PERIODS, { description: "A day or a month of the calendar, in UTC." }),
  size: Type.Number(),
  used: Type.Number({ description: "By tasks that have ended." }),
  reserved: Type.Number({ description: "For tasks that have not ended, as estimated." }),
  resets_at: Time("When nothing is used any more."),
});
export type BudgetView = Static<typeof BudgetView>;

const MINUTE_LIMITS = {
  requests_per_minute: orNull<number>("integer", { description: NO_LIMIT }),
  tokens_per_minute: orNull<number>("integer", { description: NO_LIMIT }),
};

export const CallersAnswer = Type.Object({
  callers: Type.Array(
    Type.Object({
      user: Type.String(),
      running: Type.Integer({ description: "Its tasks that run." }),
      queued: Type.Integer({ description: "Its tasks that wait." }),
      share: Type.Number({
        description:
          "0 to 1: the part of the GPUs' work that it is given while it and the other users that have tasks now want more than there is: its weight, divided by the weights of them all. 0: it has no task.",
      }),
      limits: Type.Object({
        weight: Type.Number({ description: "Its share beside other users that have tasks waiting." }),
        max_running: orNull<number>("integer", { description: NO_LIMIT }),
        max_queued: Type.Integer({
          description: "Tasks that may wait: its own limit, its default share of the queue, or the whole queue.",
        }),
        ...MINUTE_LIMITS,
      }),
    }),
    { description: "By name: the users that have sent something since the server's start, or have tasks from before." },
  ),
  teams: Type.Array(
    Type.Object({
      name: Type.String(),
      running: Type.Integer({ description: "Tasks of its members that run." }),
      queued: Type.Integer({ description: "Tasks of its members that wait." }),
      limits: Type.Object({
        max_running: orNull<number>("integer", { description: NO_LIMIT }),
        max_queued: orNull<number>("integer", { description: NO_LIMIT }),
        ...MINUTE_LIMITS,
      }),
    }),
    { description: "By name: the teams that have limits or budgets of their own, or tasks. A user sees its own." },
  ),
  budgets: Type.Array(BudgetView, {
    description: "Those of users, of teams and of keys. A user sees its own, its team's and its key's.",
  }),
});
export type CallersAnswer = Static<typeof CallersAnswer>;
