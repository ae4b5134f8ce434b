/** What goes over the wire: requests and answers. From here come the checks, the TypeScript types and the OpenAPI document. */
import { Type, type Static, type TSchema, type TSchemaOptions } from "typebox";
import { type Config } from "../config.ts";
import { GPU_STATES } from "../gpu/status.ts";
import { BATCH_STATUSES } from "../scheduler/tasks.ts";
import { STRATEGIES, TASK_STATUSES } from "../task.ts";

/** Seconds a request may be held at most. */
export const MAX_WAIT = 300;
const MAX_TASK_TYPE_BYTES = 256;

const ID_EXAMPLE = "123e4567-e89b-12d3-a456-426614174000";
const TIME_EXAMPLE = "2025-08-10T12:34:56.789Z";
const GPU_EXAMPLE = {
  id: 0,
  name: "NVIDIA A100-SXM4-40GB",
  utilization: 30,
  memory_used: 4_000_000_000,
  memory_total: 42_949_672_960,
  task_count: 2,
  uuid: "GPU-8f6d9f0a-3c1b-7e55-9d20-5a2f6c1e7b34",
  pci_bus_id: "0000:65:00.0",
  kind: "gpu",
  status: "ready",
  reason: null,
  since: TIME_EXAMPLE,
  crowded: null,
  slots: 8,
  load: 0.25,
  temperature: 45,
  max_temperature: 87,
  power: 130,
  power_limit: 400,
  energy: 7_200_000,
  throttle: [],
  ecc: { corrected: 0, uncorrected: 0 },
  xids: {},
  others_memory: 0,
  others_utilization: 0,
  memory_free: 38_949_672_960,
  compute_capability: 8,
  model: "Qwen3 0.6B",
  context: 8192,
  memory_note: null,
  device: "NVIDIA A100-SXM4-40GB",
  restarts: 0,
};

/** A field with a default may be left out by clients; after the checks it is always there. */
function closed<Properties extends Record<string, TSchema>>(properties: Properties, options: TSchemaOptions = {}) {
  return Type.Object(properties, { ...options, additionalProperties: false });
}

function oneOf<const Values extends string[]>(values: readonly [...Values], options: TSchemaOptions = {}) {
  return Type.Enum(values, { ...options, type: "string" });
}

// A list of types, not a union: fast-json-stringify would run a validator to choose a union's branch.
function orNull<T>(type: "integer" | "number" | "string", options: TSchemaOptions = {}) {
  return Type.Unsafe<T | null>({ ...options, type: [type, "null"] });
}

const Time = (description: string) => Type.String({ format: "date-time", description, examples: [TIME_EXAMPLE] });
const TimeOrNull = (description: string) => orNull<string>("string", { format: "date-time", description });
const TaskId = Type.String({ format: "uuid", examples: [ID_EXAMPLE] });
const GpuId = (description: string) => orNull<number>("integer", { description });

type Settings = Pick<Config, "limits" | "gpu">;

/** The bodies of requests, with the limits and defaults of this configuration. */
export function requestSchemas(config: Settings) {
  return { predict: predictSchema(config), batch: batchSchema(config) };
}

function predictSchema({ limits, gpu: { multi_gpu } }: Settings) {
  const specificGpu = Type.Integer({
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    description: "The task runs on this GPU or nowhere; the strategy is not asked.",
  });
  const options = { ...placementFields(multi_gpu), specific_gpu_id: Type.Optional(specificGpu) };
  const description = "How to choose the GPU. batch_split means nothing for one task.";
  const example = {
    text: "Sample input text",
    max_length: 128,
    temperature: 0.7,
    gpu_options: { strategy: multi_gpu.default_strategy, specific_gpu_id: null, batch_split: true },
  };
  return closed(
    { ...inputFields(limits), gpu_options: closed(options, { default: {}, description }) },
    { title: "PredictRequest", examples: [example] },
  );
}

function batchSchema({ limits, gpu: { multi_gpu } }: Settings) {
  const batch = Type.Array(closed(inputFields(limits)), {
    minItems: 1,
    maxItems: limits.max_batch_size,
    allowed: `a list of 1 to ${limits.max_batch_size} items`,
    description: "The texts; either all of them are accepted or none.",
  });
  const example = {
    batch: [
      { text: "Sample input text 1", max_length: 128, temperature: 0.7 },
      { text: "Sample input text 2", max_length: 256, temperature: 0.5 },
    ],
    gpu_options: { strategy: multi_gpu.default_strategy, batch_split: true },
  };
  return closed(
    { batch, gpu_options: closed(placementFields(multi_gpu), { default: {}, description: "How to choose GPUs." }) },
    { title: "BatchRequest", examples: [example] },
  );
}

/** What `predict` and each item of a batch have. */
function inputFields({ max_text_bytes }: Settings["limits"]) {
  return {
    text: Type.String({
      minLength: 1,
      maxBytes: max_text_bytes,
      description: `The text to process: not empty, at most ${max_text_bytes} bytes in UTF-8.`,
    }),
    max_length: Type.Integer({
      minimum: 1,
      default: 128,
      description: "Tokens to generate at most.",
    }),
    temperature: Type.Number({ minimum: 0, maximum: 1, default: 0.7, description: "0 is greedy." }),
    task_type: Type.String({
      maxBytes: MAX_TASK_TYPE_BYTES,
      default: "text_generation",
      description: `What the strategy task_specific looks up; at most ${MAX_TASK_TYPE_BYTES} bytes.`,
    }),
  };
}

function placementFields({ strategies, default_strategy, batch_split }: Settings["gpu"]["multi_gpu"]) {
  return {
    strategy: oneOf(strategies, { default: default_strategy, description: "How a GPU is chosen." }),
    batch_split: Type.Boolean({ default: batch_split, description: "Spread a batch over several GPUs." }),
  };
}

export type RequestSchemas = ReturnType<typeof requestSchemas>;
export type PredictRequest = Static<RequestSchemas["predict"]>;
export type BatchRequest = Static<RequestSchemas["batch"]>;
/** The fields that `predict` and the items of a batch share. */
export type InputFields = BatchRequest["batch"][number];

export const NoQuery = closed({});
export const TaskQuery = closed({
  wait: Type.Number({
    minimum: 0,
    maximum: MAX_WAIT,
    default: 0,
    description: "Seconds to hold the answer until the task ends.",
  }),
});
export type TaskQuery = Static<typeof TaskQuery>;

export const TasksQuery = closed({
  status: Type.Optional(oneOf(TASK_STATUSES, { description: "Only tasks with this status." })),
  limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: "Tasks to return at most." }),
  offset: Type.Integer({
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    default: 0,
    description: "Tasks to skip, newest first.",
  }),
});
export type TasksQuery = Static<typeof TasksQuery>;

export const TaskParams = Type.Object({ task_id: TaskId });

export const Failure = Type.Object(
  {
    error: Type.String({ description: "A sentence a person can act on." }),
    code: Type.String({ description: "A stable name for this kind of failure." }),
  },
  {
    $id: "Error",
    examples: [{ error: "text is missing; it must be a string that is not empty.", code: "invalid_input" }],
  },
);
export type Failure = Static<typeof Failure>;

export const TaskSummary = Type.Object(
  {
    task_id: TaskId,
    gpu_id: GpuId("The GPU that runs it or alone may run it; null: none is bound yet."),
    status: oneOf(TASK_STATUSES),
  },
  { $id: "TaskSummary", examples: [{ task_id: ID_EXAMPLE, gpu_id: 0, status: "running" }] },
);
export type TaskSummary = Static<typeof TaskSummary>;

const Result = Type.Object({
  text: Type.String({ description: "The generated text alone, without the prompt." }),
  execution_time: Type.Number({ description: "Seconds from the start on the GPU to the last token." }),
  timestamp: Time("When the last token was generated."),
  finish_reason: oneOf(["stop", "length"], { description: "Why generation ended." }),
  usage: Type.Object({ prompt_tokens: Type.Integer(), completion_tokens: Type.Integer() }),
});

const Attempt = Type.Object({
  gpu_id: Type.Integer(),
  started_at: Time("When the GPU got the task."),
  ended_at: TimeOrNull("null: it runs there now."),
  reason: orNull<string>("string", { description: "Why it ended." }),
});

const Placement = Type.Object(
  {
    strategy: oneOf([...STRATEGIES, "pinned", "batch"]),
    gpu_id: Type.Integer(),
    reason: Type.String({ description: "Why this GPU, in one sentence." }),
    candidates: Type.Array(
      Type.Object({
        gpu_id: Type.Integer(),
        score: orNull<number>("number", { description: "What the strategy compared." }),
      }),
      { description: "The winner first, then at most seven others." },
    ),
    others: Type.Record(Type.String(), Type.Integer(), { description: "GPUs not listed above, counted by why." }),
  },
  { description: "Why the task is where it is; absent until a GPU was chosen." },
);

export const TaskView = Type.Object(
  {
    task_id: TaskId,
    gpu_id: GpuId("The GPU that runs it, ran it, or alone may run it; null: none yet."),
    status: oneOf(TASK_STATUSES),
    result: Type.Optional(Result),
    error: Type.Optional(Type.String({ description: "Why it failed, as a sentence." })),
    error_code: Type.Optional(Type.String({ description: "A stable name for the kind of failure." })),
    created_at: Time("When it was submitted."),
    started_at: TimeOrNull("When it last started on a GPU."),
    finished_at: TimeOrNull("When it reached its final status."),
    strategy: oneOf(STRATEGIES),
    task_type: Type.String(),
    batch_id: Type.Optional(Type.String({ format: "uuid" })),
    attempts: Type.Array(Attempt, { description: "Each time it was given to a GPU, the first one first." }),
    placement: Type.Optional(Placement),
  },
  {
    $id: "Task",
    examples: [
      {
        task_id: ID_EXAMPLE,
        gpu_id: 0,
        status: "completed",
        result: {
          text: "Generated text response",
          execution_time: 0.5,
          timestamp: TIME_EXAMPLE,
          finish_reason: "stop",
          usage: { prompt_tokens: 4, completion_tokens: 3 },
        },
        created_at: "2025-08-10T12:34:56.281Z",
        started_at: "2025-08-10T12:34:56.289Z",
        finished_at: TIME_EXAMPLE,
        strategy: "least_loaded",
        task_type: "text_generation",
        attempts: [{ gpu_id: 0, started_at: "2025-08-10T12:34:56.289Z", ended_at: TIME_EXAMPLE, reason: "completed" }],
      },
    ],
  },
);
export type TaskView = Static<typeof TaskView>;

const GpuView = Type.Object(
  {
    id: Type.Integer(),
    name: Type.String(),
    utilization: orNull<number>("number", { description: "Percent, by everybody." }),
    memory_used: orNull<number>("integer", { description: "Bytes, by everybody." }),
    memory_total: orNull<number>("integer", { description: "Bytes." }),
    task_count: Type.Integer({ description: "Tasks that run there now, whoever they belong to." }),
    uuid: Type.Optional(Type.String({ description: "What names it for good; absent when it is several joined." })),
    uuids: Type.Optional(Type.Array(Type.String(), { description: "Only when it is several that hold one model." })),
    pci_bus_id: Type.Optional(
      orNull<string>("string", { description: "null: it is a stand-in. Absent when it is several joined." }),
    ),
    pci_bus_ids: Type.Optional(Type.Array(Type.String(), { description: "Only when it is several, as uuids." })),
    kind: oneOf(["gpu", "cpu", "simulated"]),
    status: oneOf(GPU_STATES, {
      description:
        "starting: loads the model; ready: takes tasks; hot: takes none until it has cooled down; draining: finishes what runs, takes nothing new; drained: has finished; unfit: cannot serve as things are; faulted: failed, is tried again by itself; lost: is not there any more.",
    }),
    reason: orNull<string>("string", { description: "Why it is in this state; null: it is ready." }),
    since: Time("Since when the status holds."),
    crowded: orNull<string>("string", { description: "Why it gets no new tasks although it is ready; null: it does." }),
    slots: Type.Integer({ description: "Tasks it may run at once." }),
    load: Type.Number({ description: "What least_loaded compares, 0 to 1." }),
    temperature: orNull<number>("number", { description: "°C." }),
    max_temperature: orNull<number>("number", { description: "°C; above it, no new tasks until it has cooled down." }),
    power: orNull<number>("number", { description: "W, drawn now." }),
    power_limit: orNull<number>("number", { description: "W." }),
    energy: orNull<number>("number", { description: "J, since the driver was loaded." }),
    throttle: Type.Unsafe<readonly string[] | null>({
      type: ["array", "null"],
      items: { type: "string" },
      description: "Why its clock is lower than it could be; empty: it is not.",
    }),
    ecc: Type.Unsafe<{ corrected: number; uncorrected: number } | null>({
      type: ["object", "null"],
      properties: { corrected: { type: "integer" }, uncorrected: { type: "integer" } },
      required: ["corrected", "uncorrected"],
      description: "Memory errors since the driver was loaded.",
    }),
    xids: Type.Record(Type.String(), Type.Integer(), {
      description: "How often the driver reported which Xid error since this server started.",
    }),
    others_memory: orNull<number>("number", { description: "Share of its memory, 0 to 1, that others have taken." }),
    others_utilization: orNull<number>("number", { description: "Share of its time, 0 to 1, that others use." }),
    memory_free: orNull<number>("integer", { description: "Bytes." }),
    compute_capability: orNull<number>("number", { description: "CUDA's, like 8.6." }),
    model: orNull<string>("string", { description: "null: not loaded yet." }),
    context: orNull<number>("integer", { description: "Tokens for each slot; null: no model is loaded yet." }),
    memory_note: orNull<string>("string", {
      description: "What was made smaller, because the memory was too small for what was asked for.",
    }),
    device: orNull<string>("string", { description: "What the engine says it opened; null: nothing yet." }),
    restarts: Type.Integer({ description: "Worker processes that died since the server started." }),
  },
  {
    $id: "Gpu",
    description: "Others are all processes but this server's workers. null: the device does not tell.",
    examples: [GPU_EXAMPLE],
  },
);
export type GpuView = Static<typeof GpuView>;

const GpuProcess = Type.Object({
  pid: Type.Integer({ description: "As the driver gives it; seen from a container it may be the host's." }),
  memory: orNull<number>("integer", { description: "Bytes." }),
  utilization: orNull<number>("number", { description: "Percent of the GPU's time." }),
  own: Type.Boolean({ description: "Whether it is a worker of this server." }),
});

const RunningTask = Type.Object({
  task_id: TaskId,
  user: Type.String({ description: "Whose task it is." }),
  started_at: TimeOrNull("When it started there."),
});

const GpuEvent = Type.Object({
  at: Time("When it happened."),
  event: Type.String({ description: "The state it went into, or what happened, such as xid." }),
  reason: Type.String({ description: "One sentence." }),
});

const GpuDetails = Type.Object(
  {
    ...GpuView.properties,
    pid: orNull<number>("integer", { description: "Process id of the worker; null: none runs." }),
    processes: Type.Unsafe<Static<typeof GpuProcess>[] | null>({
      type: ["array", "null"],
      items: GpuProcess,
      description: "Who uses it.",
    }),
    events: Type.Array(GpuEvent, { description: "The latest ones, oldest first." }),
    running_tasks: Type.Array(RunningTask, { description: "A `user` sees its own tasks here, the other roles all." }),
  },
  {
    $id: "GpuDetails",
    description: "Everything known about one GPU.",
    examples: [
      {
        ...GPU_EXAMPLE,
        pid: 4711,
        processes: [{ pid: 4711, memory: 3_900_000_000, utilization: 30, own: true }],
        events: [
          { at: "2025-08-10T12:34:41.102Z", event: "starting", reason: "The model is being loaded." },
          { at: TIME_EXAMPLE, event: "ready", reason: "The model is loaded." },
        ],
        running_tasks: [{ task_id: ID_EXAMPLE, user: "bob", started_at: TIME_EXAMPLE }],
      },
    ],
  },
);
export type GpuDetails = Static<typeof GpuDetails>;

export const GpuParams = Type.Object({ gpu_id: Type.Integer({ minimum: 0 }) });

/** A default, so that the body itself may be left out. */
export const DrainRequest = closed(
  {
    deadline_seconds: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 86_400,
        description: "After so many seconds, what still runs there goes back into the queue; none: it may finish.",
      }),
    ),
  },
  { title: "DrainRequest", default: {}, examples: [{ deadline_seconds: 60 }] },
);
export type DrainRequest = Static<typeof DrainRequest>;

export const ResumeRequest = closed({}, { title: "ResumeRequest", default: {}, examples: [{}] });

/** Schemas that the OpenAPI document names, so that generated clients have types with names. */
export const SHARED_SCHEMAS = [Failure, TaskSummary, TaskView, GpuView, GpuDetails];

function shared<T extends TSchema>(schema: T & { $id?: string }) {
  return Type.Unsafe<Static<T>>({ $ref: `${schema.$id}#` });
}

export const FailureRef = shared(Failure);
export const TaskRef = shared(TaskView);
export const TaskSummaryRef = shared(TaskSummary);
export const GpuDetailsRef = shared(GpuDetails);

/** With `Prefer: wait` the whole task is the answer, else the three fields of the document. */
export const PredictAnswer = Type.Object({ ...TaskSummary.properties, ...Type.Partial(TaskView).properties });

export const BatchAnswer = Type.Object(
  {
    status: oneOf(BATCH_STATUSES),
    tasks: Type.Array(TaskSummaryRef, { description: "In the order of the items." }),
    batch_id: orNull<string>("string", { format: "uuid" }),
  },
  { description: "What was true when the batch was accepted." },
);
export type BatchAnswer = Static<typeof BatchAnswer>;

export const TasksAnswer = Type.Object({
  tasks: Type.Record(Type.String(), TaskRef, { description: "From task id to task, newest first." }),
  total: Type.Integer({ description: "Tasks that match, whatever limit and offset say." }),
});
export type TasksAnswer = Static<typeof TasksAnswer>;

export const GpusAnswer = Type.Object({ gpus: Type.Array(shared(GpuView)) });
export type GpusAnswer = Static<typeof GpusAnswer>;

export const LiveAnswer = Type.Object({ status: oneOf(["alive"]) });
const readiness = {
  status: oneOf(["ready", "not ready"]),
  reason: Type.Optional(Type.String({ description: "Why it is not ready." })),
  error: Type.Optional(Type.String({ description: "The same as a sentence, as in every answer that is not 200." })),
  code: Type.Optional(Type.String({ description: "not_ready" })),
};
export const ReadyAnswer = Type.Object(readiness);
export type ReadyAnswer = Static<typeof ReadyAnswer>;

export const HealthAnswer = Type.Object({
  ...readiness,
  version: Type.String(),
  gpus: Type.Object({
    total: Type.Integer(),
    ...Object.fromEntries(GPU_STATES.map((status) => [status, Type.Integer()])),
  }),
});
export type HealthAnswer = Static<typeof HealthAnswer>;
