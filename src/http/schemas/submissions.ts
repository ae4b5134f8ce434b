/** `POST /predict` and `POST /batch_predict`. */
import { Type, type Static, type TSchema } from "../../common/type.ts";
import type { Config } from "../../config/config.ts";
import { BATCH_STATUSES } from "../../tasks/task-api.ts";
import { BATCH_EVENTS, PRIORITIES, TASK_EVENTS, type WebhookEvent } from "../../task.ts";
import { closed, GpuId, oneOf, orNull, shared as named, TaskType } from "./common.ts";
import { formFields, logprobsField } from "./forms.ts";
import { messagesField } from "./messages.ts";
import { samplingFields } from "./sampling.ts";
import { Placement, TaskSummary, TaskSummaryRef, TaskView, WaitView } from "./tasks.ts";

/** Of a submission, or a call of OpenAI's API. */
export const storeField = Type.Optional(
  Type.Boolean({
    description:
      "false: prompt and answer are never on disk, only in memory until the answer was read; see docs/privacy.md. true, as without it: as the server is configured.",
  }),
);

/** Ten years: beyond it a time is no limit. */
const LONGEST_SECONDS = 315_360_000;

const MAX_INPUTS = 2048;
const MAX_MODEL_BYTES = 512;

/** The model that a request asks for. */
export const modelField = Type.Optional(
  Type.String({
    minLength: 1,
    maxBytes: MAX_MODEL_BYTES,
    alsoCalled: ["model_name", "model_id", "engine"],
    description: "The name of the model that is to run it; without it, any of those for the task_type.",
  }),
);

type Settings = Pick<Config, "limits" | "gpu" | "tasks">;

/** The bodies of requests, with the limits and defaults of this configuration. */
export function requestSchemas(config: Settings) {
  return { predict: predictSchema(config), batch: batchSchema(config) };
}

function predictSchema(settings: Settings) {
  const { multi_gpu } = settings.gpu;
  const example = {
    text: "Sample input text",
    max_length: 128,
    temperature: 0.7,
    gpu_options: { strategy: multi_gpu.default_strategy, specific_gpu_id: null, batch_split: true },
  };
  return closed(
    {
      ...inputFields(settings),
      gpu_options: gpuOptions(multi_gpu),
      stream: Type.Boolean({
        default: false,
        alsoCalled: ["streaming"],
        description: "Answer with the task's events as they happen.",
      }),
      cancel_on_disconnect: Type.Boolean({
        default: false,
        description: "Cancel the task when this connection closes before it has ended; for stream and Prefer: wait.",
      }),
      ...webhookFields(TASK_EVENTS, "the three final ones"),
    },
    { title: "PredictRequest", examples: [example] },
  );
}

function batchSchema(settings: Settings) {
  const { max_batch_size } = settings.limits;
  const { multi_gpu } = settings.gpu;
  const fields = inputFields(settings);
  const item = closed(fields, {
    shorthand: "text",
    allowed: "an object with text, messages or input, or a text alone",
  });
  const batch = Type.Array(item, {
    minItems: 1,
    maxItems: max_batch_size,
    allowed: `a list of 1 to ${max_batch_size} items`,
    alsoCalled: ["texts", "prompts", "input", "inputs", "messages", "items", "tasks", "requests"],
    description: "The texts, conversations and inputs; either all of them are accepted or none.",
  });
  const example = {
    batch: [{ text: "Sample input text 1", max_length: 256, temperature: 0.5 }, "Sample input text 2"],
    max_length: 128,
    gpu_options: { strategy: multi_gpu.default_strategy, batch_split: true },
  };
  return closed(
    {
      // Before the items, so that what is wrong with one of these is not told of an item.
      ...sharedFields(settingsFields(settings.tasks)),
      batch,
      gpu_options: closed(placementFields(multi_gpu), {
        default: {},
        alsoCalled: ["options"],
        description: "How to choose GPUs.",
      }),
      ...webhookFields(BATCH_EVENTS, "batch.completed"),
    },
    { title: "BatchRequest", examples: [example] },
  );
}

/** Settings beside `batch`, for all items that do not have their own. */
export const SHARED_FIELDS: readonly string[] = Object.keys(settingsFields({}));

type Shared<Fields extends Record<string, TSchema>> = {
  [Name in keyof Fields]: ReturnType<typeof shared<Fields[Name]>>;
};

function sharedFields<Fields extends Record<string, TSchema>>(fields: Fields): Shared<Fields> {
  return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, shared(field)])) as Shared<Fields>;
}

/** A field of the items beside them: what it is when nobody says so is for the items to know. */
function shared<T extends TSchema>(field: T) {
  const { default: _default, description = "", ...rest } = field as T & { default?: unknown; description?: string };
  const beside = { ...rest, description: `For items that do not say otherwise. ${description}`.trim() };
  return Type.Optional(Type.Unsafe<Static<T>>(beside));
}

/** Fields of `predict` and of each item of a batch. */
function inputFields({ limits: { max_text_bytes }, tasks }: Settings) {
  return {
    text: Type.Optional(
      Type.String({
        minLength: 1,
        maxBytes: max_text_bytes,
        alsoCalled: ["prompt", "inputs", "query", "content", "question"],
        description: `The text to process: not empty, at most ${max_text_bytes} bytes in UTF-8. Exactly one of text, messages and input must be given.`,
      }),
    ),
    messages: Type.Optional(messagesField(max_text_bytes)),
    input: Type.Optional(
      Type.Unsafe<string | readonly string[]>({
        type: ["string", "array"],
        minLength: 1,
        minItems: 1,
        maxItems: MAX_INPUTS,
        items: Type.String({ minLength: 1 }),
        alsoCalled: ["embed", "sentences", "documents"],
        allowed: `a string that is not empty, or a list of 1 to ${MAX_INPUTS} of these`,
        description: `In the place of text: what to make vectors of, at most ${max_text_bytes} bytes in UTF-8 in all. The result has them as embeddings, in their order.`,
      }),
    ),
    ...settingsFields(tasks),
  };
}

/** Fields of an item that may stand beside a batch as well. */
function settingsFields({ timeout }: Partial<Settings["tasks"]>) {
  return {
    raw: Type.Optional(
      Type.Boolean({
        alsoCalled: ["raw_prompt"],
        description:
          "Of text alone. true: it is continued as it is. false: it is one user's message where the model has a chat template. Without it, engine.raw of the configuration.",
      }),
    ),
    model: modelField,
    ...samplingFields,
    ...formFields(true),
    logprobs: logprobsField,
    task_type: TaskType({ default: "text_generation", description: "The strategy task_specific looks it up" }),
    priority: oneOf(PRIORITIES, { default: "normal", description: "Among the caller's own tasks." }),
    store: storeField,
    timeout_seconds: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: LONGEST_SECONDS,
        alsoCalled: ["timeout", "deadline", "time_limit", "ttl"],
        allowed: `a number of seconds above 0, at most ${LONGEST_SECONDS}`,
        ...(timeout !== undefined && { default: timeout }),
        description: "Seconds from the submission after which the task fails; without it, it may take any time.",
      }),
    ),
  };
}

/** How to choose the GPU of one task. */
export function gpuOptions(multiGpu: Settings["gpu"]["multi_gpu"]) {
  const specificGpu = Type.Integer({
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    alsoCalled: ["gpu_id", "gpu", "device", "device_id"],
    description: "The task runs on this GPU or nowhere; the strategy is not asked.",
  });
  const options = { ...placementFields(multiGpu), specific_gpu_id: Type.Optional(specificGpu) };
  const description = "How to choose the GPU. batch_split means nothing for one task.";
  return closed(options, { default: {}, alsoCalled: ["options"], description });
}

function placementFields({ strategies, default_strategy, batch_split }: Settings["gpu"]["multi_gpu"]) {
  return {
    strategy: oneOf(strategies, { default: default_strategy, description: "How a GPU is chosen." }),
    batch_split: Type.Boolean({ default: batch_split, description: "Spread a batch over several GPUs." }),
  };
}

function webhookFields<const Events extends WebhookEvent[]>(events: readonly [...Events], defaults: string) {
  const names = events.map((event) => JSON.stringify(event)).join(", ");
  return {
    webhook_url: Type.Optional(
      Type.String({
        minLength: 1,
        alsoCalled: ["webhook", "callback_url", "callback", "notify_url"],
        description: "Where to send events: an http or https address.",
      }),
    ),
    webhook_events: Type.Optional(
      Type.Array(oneOf(events), {
        minItems: 1,
        maxItems: events.length,
        uniqueItems: true,
        alsoCalled: ["events"],
        allowed: `a list of some of ${names}, each once`,
        description: `Which events to send to webhook_url; without it, ${defaults}.`,
      }),
    ),
  };
}

export type RequestSchemas = ReturnType<typeof requestSchemas>;
export type PredictRequest = Static<RequestSchemas["predict"]>;
export type BatchRequest = Static<RequestSchemas["batch"]>;
/** The fields that `predict` and the items of a batch share. */
export type InputFields = BatchRequest["batch"][number];

/** An object that may be null. */
function objectOrNull<T extends TSchema>(schema: T, description: string) {
  return Type.Unsafe<Static<T> | null>({ ...schema, type: ["object", "null"], description });
}

/** With `Prefer: wait` the whole task is the answer, else the three fields of the document. With `dry_run`, `waiting` may be null. */
export const PredictAnswer = Type.Object({
  ...TaskSummary.properties,
  ...Type.Partial(TaskView).properties,
  waiting: Type.Optional(objectOrNull(WaitView, "Why it waits; null: a dry run would start at once.")),
});

export const PredictQuery = closed({
  dry_run: Type.Boolean({
    default: false,
    description:
      "Say what would become of the task now, and make none. It counts for no limit; refusals are those of a submission.",
  }),
});
export type PredictQuery = Static<typeof PredictQuery>;

/** A schema of its own in the document: as an alternative it would take the fields of a task from those whose clients are generated. */
export const DryRunAnswer = Type.Object(
  {
    gpu_id: GpuId("The GPU that would run it, or alone may run it; null: any may."),
    status: oneOf(["running", "queued"]),
    placement: objectOrNull(Placement, "Why it would go there; null: it would wait."),
    waiting: objectOrNull(WaitView, "Why it would wait; null: it would start at once."),
  },
  {
    $id: "DryRun",
    description: "What would become of a task now. Where several GPUs are equal, chance may choose another one.",
    examples: [
      {
        gpu_id: null,
        status: "queued",
        placement: null,
        waiting: {
          reason: "gpu_busy",
          sentence: "All slots that it may have are taken: it waits for GPU 0.",
          since: "2025-08-10T12:34:56.281Z",
          ahead: 2,
        },
      },
    ],
  },
);
export type DryRunAnswer = Static<typeof DryRunAnswer>;
export const DryRunRef = named(DryRunAnswer);

export const BatchAnswer = Type.Object(
  {
    status: oneOf(BATCH_STATUSES),
    tasks: Type.Array(TaskSummaryRef, { description: "In the order of the items." }),
    batch_id: orNull<string>("string", { format: "uuid" }),
  },
  { description: "The counts at the moment when the batch was accepted." },
);
export type BatchAnswer = Static<typeof BatchAnswer>;
