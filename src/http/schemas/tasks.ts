/** Tasks, lists of them, and canceling many. */
import { Type, type Static } from "../../common/type.ts";
import { WAIT_REASONS } from "../../scheduler/why-waiting.ts";
import { MESSAGE_ROLES } from "../../request.ts";
import { FINISH_REASONS, PRIORITIES, STRATEGIES, TASK_STATUSES } from "../../task.ts";
import {
  BATCH_ID_EXAMPLE,
  closed,
  GpuId,
  ID_EXAMPLE,
  MAX_WAIT,
  oneOf,
  orNull,
  shared,
  TaskId,
  TaskType,
  Time,
  TIME_EXAMPLE,
  TimeOrNull,
  Uuid,
} from "./common.ts";
import { samplingView } from "./sampling.ts";
import { ticketQuery } from "./tickets.ts";
import { UserName } from "../../config/accounts.ts";
import { TimingView, UsageView } from "./task-use.ts";
import { writtenAsItIs } from "./long-lists.ts";

/** Tasks that one request may name to be canceled. */
const MAX_TASK_IDS = 10_000;

export const TaskParams = Type.Object({ task_id: TaskId });

export const TaskQuery = closed({
  wait: Type.Number({
    minimum: 0,
    default: 0,
    description: `Seconds to hold the answer until the task ends; more than ${MAX_WAIT} are ${MAX_WAIT}. Preference-Applied says how many.`,
  }),
  include: Type.Optional(
    oneOf(["text"], { description: "text: the answer has the request, too; for the task's user and for admins." }),
  ),
});
export type TaskQuery = Static<typeof TaskQuery>;

/** Filters of lists and cancellations, beside the status. */
const selection = {
  user: Type.Optional(
    Type.String({ ...UserName, description: "Only this user's tasks. A `user` may name itself alone." }),
  ),
  batch_id: Type.Optional(Uuid("Only tasks of this batch.")),
  task_type: Type.Optional(TaskType({ description: "Only tasks of this type" })),
  gpu_id: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      description: "Only tasks that this GPU runs, ran, or alone may run.",
    }),
  ),
  model: Type.Optional(
    Type.String({
      minLength: 1,
      description: "Only tasks that show this model: that it runs or ran, or while they wait, that ask for it.",
    }),
  ),
  since: Type.Optional(
    Type.String({
      description: "Only tasks submitted at this time or later: ISO 8601 with zone. In a URL, + is written %2B.",
      examples: [TIME_EXAMPLE],
    }),
  ),
  until: Type.Optional(
    Type.String({ description: "Only tasks submitted before this time, as since.", examples: [TIME_EXAMPLE] }),
  ),
};

export const TasksQuery = closed({
  status: Type.Optional(oneOf(TASK_STATUSES, { description: "Only tasks with this status." })),
  limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: "Tasks to return at most." }),
  offset: Type.Integer({
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    default: 0,
    description: "Tasks to skip, newest first.",
  }),
  after: Type.Optional(
    Type.String({
      description: "The `next` of another answer: only what follows there. Unlike offset, new tasks do not shift it.",
    }),
  ),
  ...selection,
});
export type TasksQuery = Static<typeof TasksQuery>;

/** No default: it has to be said what to cancel. */
export const CancelRequest = closed(
  {
    task_ids: Type.Optional(
      Type.Array(Uuid("A task_id."), {
        minItems: 1,
        maxItems: MAX_TASK_IDS,
        allowed: `a list of 1 to ${MAX_TASK_IDS} task ids`,
        description: "Only these tasks.",
      }),
    ),
    status: Type.Optional(oneOf(["queued", "running"], { description: "Only tasks with this status." })),
    ...selection,
  },
  { title: "CancelRequest", examples: [{ status: "queued", batch_id: BATCH_ID_EXAMPLE }] },
);
export type CancelRequest = Static<typeof CancelRequest>;

export const CancelAnswer = Type.Object(
  { canceled: Type.Integer({ description: "Tasks that were canceled." }) },
  { examples: [{ canceled: 12 }] },
);

export const EventsQuery = closed({
  ...ticketQuery,
  last_event_id: Type.Optional(
    Type.String({ description: "As the header Last-Event-ID, for clients that cannot set it." }),
  ),
});
export type EventsQuery = Static<typeof EventsQuery>;

export const TaskSummary = Type.Object(
  {
    task_id: TaskId,
    gpu_id: GpuId("The GPU that runs it or alone may run it; null: none is bound yet."),
    status: oneOf(TASK_STATUSES),
  },
  { $id: "TaskSummary", examples: [{ task_id: ID_EXAMPLE, gpu_id: 0, status: "running" }] },
);
export type TaskSummary = Static<typeof TaskSummary>;
export const TaskSummaryRef = shared(TaskSummary);

const likelyToken = {
  token: Type.String({ description: "What it stands for; bytes that are no whole character are shown as U+FFFD." }),
  logprob: Type.Number({ description: "The natural logarithm of its probability." }),
  bytes: Type.Array(Type.Integer(), { description: "Of what it stands for, in UTF-8." }),
};

export const TokenLogprobView = Type.Object({
  ...likelyToken,
  top_logprobs: Type.Array(Type.Object(likelyToken), { description: "The likeliest tokens in its place." }),
});
export type TokenLogprobView = Static<typeof TokenLogprobView>;

export const ToolCallView = Type.Object({
  id: Type.String(),
  type: oneOf(["function"]),
  function: Type.Object({
    name: Type.String(),
    arguments: Type.String({ description: "As the model wrote them: JSON, unless it was cut off or made a mistake." }),
  }),
});
export type ToolCallView = Static<typeof ToolCallView>;

const Result = Type.Object(
  {
    text: Type.String({ description: "The generated text alone, without the prompt." }),
    reasoning: Type.Optional(Type.String({ description: "What the model wrote for itself before the text." })),
    tool_calls: Type.Optional(Type.Array(ToolCallView, { description: "The tools that the model asks for." })),
    logprobs: writtenAsItIs(
      Type.Optional(
        Type.Array(TokenLogprobView, {
          description: "The tokens of the text with their probabilities; not in GET /tasks.",
        }),
      ),
    ),
    mismatch: Type.Optional(
      Type.String({ description: "Why the text is not of the form that was asked for; absent: it is, or none was." }),
    ),
    embeddings: writtenAsItIs(
      Type.Optional(
        Type.Array(Type.Array(Type.Number()), {
          description: "The unit vectors of the inputs, in their order; not in GET /tasks, nor sent to webhooks.",
        }),
      ),
    ),
    execution_time: Type.Number({ description: "Seconds from the start on the GPU to the last token." }),
    timestamp: Time("When the last token was generated."),
    finish_reason: oneOf(FINISH_REASONS, {
      description: "Why generation ended; canceled and timeout: the text is what there was until then.",
    }),
    usage: Type.Object({
      prompt_tokens: orNull<number>("integer", { description: "null: the server behind the GPU did not tell." }),
      completion_tokens: Type.Integer(),
      cached_tokens: orNull<number>("integer", {
        description: "Of prompt_tokens, those that the GPU's KV cache held already; null: not told.",
      }),
    }),
    seed: Type.Optional(Type.Integer({ description: "The same one gives the same text again on the same engine." })),
  },
  { description: "Of a completed task; also of one that was canceled or late while it ran." },
);

const Attempt = Type.Object({
  gpu_id: Type.Integer(),
  started_at: Time("When the GPU got the task."),
  ended_at: TimeOrNull("null: it runs there now."),
  reason: orNull<string>("string", { description: "Why it ended." }),
  alone: Type.Optional(
    Type.Boolean({ description: "Of a worker_crash: nothing else ran on the worker. Absent when something did." }),
  ),
  error: Type.Optional(Type.String({ description: "Details of the end, such as a server's own words." })),
  unlisted: Type.Optional(
    Type.Integer({ description: "Attempts before this one that found servers full, and are not listed." }),
  ),
});

export const Placement = Type.Object(
  {
    strategy: oneOf([...STRATEGIES, "pinned", "batch"]),
    gpu_id: Type.Integer(),
    reason: Type.String({ description: "Why this GPU, in one sentence." }),
    candidates: Type.Array(
      Type.Object({
        gpu_id: Type.Integer(),
        score: orNull<number>("number", { description: "The figure that the strategy compared." }),
      }),
      { description: "The winner first, then at most seven others." },
    ),
    others: Type.Record(Type.String(), Type.Integer(), { description: "GPUs not listed above, counted by why." }),
    expected_tokens: Type.Optional(
      Type.Integer({
        description: "Tokens that its answer was counted at: the mean of its user's with that model, else its bound.",
      }),
    ),
  },
  { description: "Why the task is where it is; absent until a GPU was chosen." },
);

export const WaitView = Type.Object(
  {
    reason: oneOf(WAIT_REASONS, {
      description:
        "gpu_busy: all slots are taken; gpu_drained: an operator took its GPUs out; gpu_not_ready: they take nothing now; caller_limit: its user has as many tasks running as it may; model_loading: its model is being fetched or loaded, or waits for memory; retry_pause: it was cut off, and is tried again soon; batch_waits: its batch runs on one GPU, which has no room; quarantine: a worker failed under it, so it runs alone.",
    }),
    sentence: Type.String({ description: "The same in words, with models and GPUs." }),
    since: Time("When this wait began."),
    ahead: Type.Integer({ description: "Tasks of the same user that ask the same and come before it." }),
  },
  { description: "Why it waits; only of a task that waits, and not in lists." },
);
export type WaitView = Static<typeof WaitView>;

/** Without a type, it is written as it is. */
const AsAsked = Type.Optional(Type.Unsafe<unknown>({ description: "As in POST /predict." }));

const RequestView = Type.Object(
  {
    text: Type.Optional(Type.String()),
    raw: Type.Optional(Type.Boolean()),
    messages: Type.Optional(
      Type.Array(
        Type.Object({
          role: oneOf(MESSAGE_ROLES),
          content: Type.String(),
          tool_calls: Type.Optional(Type.Array(ToolCallView)),
          tool_call_id: Type.Optional(Type.String()),
          name: Type.Optional(Type.String()),
        }),
      ),
    ),
    response_format: AsAsked,
    tools: AsAsked,
    tool_choice: AsAsked,
    parallel_tool_calls: Type.Optional(Type.Boolean()),
    logprobs: Type.Optional(Type.Integer()),
    // Without a type, each is written as it is.
    input: Type.Optional(
      Type.Array(Type.Unsafe<string | readonly number[]>({ description: "A text, or the numbers of its tokens." })),
    ),
    ...samplingView,
  },
  { description: "What was asked: fields as those of POST /predict; only with ?include=text." },
);
export type RequestView = Static<typeof RequestView>;

export const TaskView = Type.Object(
  {
    task_id: TaskId,
    gpu_id: GpuId("The GPU that runs it, ran it, or alone may run it; null: none yet."),
    status: oneOf(TASK_STATUSES),
    user: Type.String({ description: "The user it belongs to." }),
    request: Type.Optional(RequestView),
    result: Type.Optional(Result),
    usage: Type.Optional(UsageView),
    timing: TimingView,
    error: Type.Optional(Type.String({ description: "Why it failed, as a sentence." })),
    error_code: Type.Optional(Type.String({ description: "A stable name for the kind of failure." })),
    created_at: Time("When it was submitted."),
    started_at: TimeOrNull("When it last started on a GPU; null: it waits."),
    finished_at: TimeOrNull("When it reached its final status."),
    strategy: oneOf(STRATEGIES),
    task_type: Type.String(),
    model: Type.Optional(
      Type.String({
        description: "The model that runs it or ran it; until then, the one that it asks for, if it does.",
      }),
    ),
    kind: Type.Optional(
      oneOf(["embedding"], {
        description: "embedding: it makes vectors, and has no sampling. Absent: it generates a text.",
      }),
    ),
    ...samplingView,
    priority: oneOf(PRIORITIES),
    timeout_seconds: orNull<number>("number", { description: "null: it may take any time." }),
    deadline_at: TimeOrNull("When it fails unless it has ended; null: never."),
    batch_id: Type.Optional(Type.String({ format: "uuid" })),
    retry_of: Type.Optional(Type.String({ format: "uuid", description: "The task it was made from by a retry." })),
    webhook_url: Type.Optional(Type.String({ description: "Where this task's events are sent." })),
    attempts: Type.Array(Attempt, { description: "Each time it was given to a GPU, the first one first." }),
    texts: Type.Optional(
      oneOf(["until_read", "never", "removed"], {
        description: "How long its texts are stored, where that is not as long as the task: see docs/privacy.md.",
      }),
    ),
    text_gone: Type.Optional(
      Type.String({ description: "Why it has no text any more. The texts of a list are no such." }),
    ),
    placement: Type.Optional(Placement),
    waiting: Type.Optional(WaitView),
  },
  {
    $id: "Task",
    examples: [
      {
        task_id: ID_EXAMPLE,
        gpu_id: 0,
        status: "completed",
        user: "ada",
        result: {
          text: "Generated text response",
          execution_time: 0.5,
          timestamp: TIME_EXAMPLE,
          finish_reason: "stop",
          usage: { prompt_tokens: 4, completion_tokens: 3, cached_tokens: 0 },
        },
        usage: {
          prompt_tokens: 4,
          completion_tokens: 3,
          cached_tokens: 0,
          gpu_seconds: 0.25,
          energy_joules: 75,
        },
        timing: { queued: 0.008, prompt: 0.1, first_token: 0.108, generation: 0.4 },
        created_at: "2025-08-10T12:34:56.281Z",
        started_at: "2025-08-10T12:34:56.289Z",
        finished_at: TIME_EXAMPLE,
        strategy: "least_loaded",
        task_type: "text_generation",
        max_length: 128,
        temperature: 0.7,
        priority: "normal",
        timeout_seconds: null,
        deadline_at: null,
        attempts: [{ gpu_id: 0, started_at: "2025-08-10T12:34:56.289Z", ended_at: TIME_EXAMPLE, reason: "completed" }],
      },
    ],
  },
);
export type TaskView = Static<typeof TaskView>;
export const TaskRef = shared(TaskView);

export const TasksAnswer = Type.Object({
  tasks: Type.Record(Type.String(), TaskRef, { description: "From task id to task, newest first." }),
  total: Type.Integer({ description: "Tasks that match, whatever limit, offset and after say." }),
  next: orNull<string>("string", {
    description: "The value of after for the next page; null: this was the last one.",
  }),
});
export type TasksAnswer = Static<typeof TasksAnswer>;

/** Server-sent events, as the document shows them. */
export const EventStreamText = Type.String({
  description:
    "Server-sent events, each with an id: `placed` when a GPU has the task, `token` with a piece of text (or, with an empty one, of `reasoning` or of a `tool_call`, which has `id` and `name` where it begins; with `logprobs` where they were asked for), and last `completed`, `failed` or `canceled` with the whole task. A `placed` with a higher attempt means that the text so far is void.",
  examples: [
    [
      "event: placed",
      `id: ${ID_EXAMPLE}:1:0`,
      `data: {"task_id":"${ID_EXAMPLE}","gpu_id":0,"attempt":1}`,
      "",
      "event: token",
      `id: ${ID_EXAMPLE}:1:9`,
      'data: {"text":"Generated"}',
      "\n",
    ].join("\n"),
  ],
});
