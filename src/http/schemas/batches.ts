/** Batches, and what comes of them. */
import { Type, type Static } from "../../common/type.ts";
import { BATCH_STATUSES } from "../../tasks/task-api.ts";
import { BATCH_ID_EXAMPLE, closed, ID_EXAMPLE, oneOf, shared, Time, TIME_EXAMPLE, TimeOrNull } from "./common.ts";
import { CancelAnswer } from "./tasks.ts";
import { ticketQuery } from "./tickets.ts";

const BatchId = Type.String({ format: "uuid", examples: [BATCH_ID_EXAMPLE] });

export const BatchParams = Type.Object({ batch_id: BatchId });

export const BatchView = Type.Object(
  {
    batch_id: BatchId,
    status: oneOf([...BATCH_STATUSES, "completed", "canceled"], {
      description:
        "As in the answer to the submission, but as of now; canceled: every task was canceled; completed: every task has ended otherwise.",
    }),
    total: Type.Integer({ description: "Tasks that are still kept, and lines of its file that are none." }),
    size: Type.Integer({ description: "Tasks that were submitted, or the lines of its file." }),
    counts: Type.Object(
      {
        queued: Type.Integer(),
        running: Type.Integer(),
        completed: Type.Integer(),
        failed: Type.Integer(),
        canceled: Type.Integer(),
      },
      {
        description:
          "Of the tasks that are still kept, by status. A line of its file that is yet to become one is queued, one that was refused has failed.",
      },
    ),
    progress: Type.Number({ description: "The share of its tasks that have ended, 0 to 1." }),
    created_at: Time("When it was submitted."),
    finished_at: TimeOrNull("When the last of its tasks had ended."),
  },
  {
    $id: "Batch",
    examples: [
      {
        batch_id: BATCH_ID_EXAMPLE,
        status: "mixed",
        total: 10,
        size: 10,
        counts: { queued: 2, running: 4, completed: 3, failed: 0, canceled: 1 },
        progress: 0.4,
        created_at: TIME_EXAMPLE,
        finished_at: null,
      },
    ],
  },
);
export type BatchView = Static<typeof BatchView>;
export const BatchRef = shared(BatchView);

export const BatchCancelAnswer = Type.Object({ ...BatchView.properties, ...CancelAnswer.properties });

export const ResultsQuery = closed({
  ...ticketQuery,
  follow: Type.Boolean({
    default: true,
    description: "Whether to go on until every task has ended; false: only what is there now.",
  }),
});
export type ResultsQuery = Static<typeof ResultsQuery>;

/** Lines of JSON, as the document shows them. */
export const ResultLines = Type.String({
  description:
    "One line for each task that has ended, in the order of their ends: the task, with `index`, its position in the batch.",
  examples: [`{"index":3,"task_id":"${ID_EXAMPLE}","gpu_id":0,"status":"completed"}\n`],
});
