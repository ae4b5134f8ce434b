/** `GET /events`: what operators are told, and how tasks change. */
import { Type, type Static } from "../../common/type.ts";
import { OPERATOR_EVENTS } from "../../topics.ts";
import { closed, ID_EXAMPLE, TIME_EXAMPLE } from "./common.ts";
import { EventsQuery } from "./tasks.ts";

export const OperatorEventsQuery = closed({
  ...EventsQuery.properties,
  tasks: Type.Boolean({ default: false, description: "Also the changes of tasks, collected four times a second." }),
  since: Type.Optional(
    Type.String({
      description:
        "First the events from this time on, as far as they are kept: ISO 8601 with zone. In a URL, + is written %2B. Last-Event-ID counts before it.",
      examples: [TIME_EXAMPLE],
    }),
  ),
});
export type OperatorEventsQuery = Static<typeof OperatorEventsQuery>;

const NAMES = Object.entries(OPERATOR_EVENTS)
  .map(([kind, events]) => `\`${kind}\` (${events.join(", ")})`)
  .join(", ");

/** Server-sent events, as the document shows them. */
export const OperatorEventsText = Type.String({
  description: `Server-sent events, each with an id. First comes \`hello\`. The operators' events have \`at\`, \`kind\`, \`event\`, \`sentence\`, and where they are known \`gpu_id\`, \`model\`, \`by\` (the user who did it) and \`count\`; their names are their kinds: ${NAMES}. \`task\` has a list \`tasks\`, each with \`task_id\`, \`user\`, \`status\` (also withdrawn: it could not be stored), \`gpu_id\`, \`created_at\`, and where they are known \`model\`, \`batch_id\`, \`started_at\`, \`first_output_at\`, \`finished_at\`. \`missed\` says what was left out: \`events\` (how many of the operators', null where nobody knows), and whether changes of \`tasks\` were.`,
  examples: [
    [
      "event: gpu",
      "id: 3f9c1a0b77de-12",
      `data: {"at":"${TIME_EXAMPLE}","kind":"gpu","event":"draining","gpu_id":0,"by":"ada","sentence":"Drained by ada."}`,
      "",
      "event: task",
      "id: 3f9c1a0b77de-12",
      `data: {"tasks":[{"task_id":"${ID_EXAMPLE}","user":"ada","status":"running","gpu_id":1,"created_at":"${TIME_EXAMPLE}"}]}`,
      "\n",
    ].join("\n"),
  ],
});
