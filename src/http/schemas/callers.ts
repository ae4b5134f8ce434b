/** `GET /callers`. */
import { Type, type Static } from "../../common/type.ts";
import { orNull } from "./common.ts";

const NO_LIMIT = "null: no limit.";

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
        requests_per_minute: orNull<number>("integer", { description: NO_LIMIT }),
        tokens_per_minute: orNull<number>("integer", { description: NO_LIMIT }),
      }),
    }),
    { description: "By name: the users that have sent something since the server's start, or have tasks from before." },
  ),
});
export type CallersAnswer = Static<typeof CallersAnswer>;
