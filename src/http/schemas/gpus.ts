/** GPUs, and taking them out of service and back. */
import { Type, type Static } from "../../common/type.ts";
import type { EngineSetting } from "../../engine/engine.ts";
import { GPU_STATES } from "../../gpu/facts.ts";
import { INSTANCE_STATES } from "../../gpu/status.ts";
import { CAPABILITIES, type Capability } from "../../request.ts";
import { closed, oneOf, orNull, shared, TaskId, Time, TIME_EXAMPLE, TimeOrNull, ID_EXAMPLE } from "./common.ts";

/** A model on a GPU, without what names the other of the two. */
export const instanceFields = {
  state: oneOf(INSTANCE_STATES, {
    description:
      "cold: loaded when it is wanted; loading: it is being loaded, or fetched; ready: takes tasks; unloading: it leaves; failed: could not be loaded, or its GPU failed.",
  }),
  reason: orNull<string>("string", { description: "Why it is in this state; null: it is ready." }),
  memory_bytes: orNull<number>("integer", {
    description: "Bytes that the model takes there, or would take; null: not known.",
  }),
  load_seconds: orNull<number>("number", { description: "Seconds that its last load took; null: none did." }),
  last_used_at: TimeOrNull("When a task last began or ended there, or else when it was loaded; null: neither was."),
  running: Type.Integer({ description: "Tasks that run there now." }),
  slots: Type.Integer({ description: "Tasks of it that may run there at once." }),
  context: orNull<number>("integer", {
    description: "Tokens for each slot; null: it was not loaded yet, or its server does not tell.",
  }),
  kv_bytes_per_token: orNull<number>("number", {
    description: "Bytes of KV cache for each token; null: it was not loaded yet, or its engine does not tell.",
  }),
};

export const INSTANCE_EXAMPLE = {
  state: "ready",
  reason: null,
  memory_bytes: 3_900_000_000,
  load_seconds: 2.41,
  last_used_at: TIME_EXAMPLE,
  running: 2,
  slots: 8,
  context: 8192,
  kv_bytes_per_token: 114_688,
};

const GpuInstance = Type.Object({
  model: orNull<string>("string", { description: "What requests call it; null: not known before it is loaded." }),
  ...instanceFields,
});

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
  model_name: "Qwen3 0.6B",
  capabilities: ["chat", "completion", "embedding"],
  chat_template: true,
  context: 8192,
  memory_note: null,
  device: "NVIDIA A100-SXM4-40GB",
  restarts: 0,
  instances: [{ model: "Qwen3 0.6B", ...INSTANCE_EXAMPLE }],
  settings: [{ name: "threads", value: 1, reason: "a GPU computes" }],
  upstream: null,
};

interface UpstreamView {
  readonly running: number | null;
  readonly waiting: number | null;
  readonly kv_cache_use: number | null;
  readonly slots: number | null;
}

export const GpuView = Type.Object(
  {
    id: Type.Integer(),
    name: Type.String(),
    utilization: orNull<number>("number", { description: "Percent, by everybody." }),
    memory_used: orNull<number>("integer", { description: "Bytes, by everybody." }),
    memory_total: orNull<number>("integer", { description: "Bytes." }),
    task_count: Type.Integer({ description: "Tasks that run there now, whoever they belong to." }),
    machine: Type.Optional(Type.String({ description: "The machine of the cluster that has it; absent: this one." })),
    uuid: Type.Optional(Type.String({ description: "Its permanent name; absent when it is several joined." })),
    uuids: Type.Optional(Type.Array(Type.String(), { description: "Only when it is several that hold one model." })),
    pci_bus_id: Type.Optional(
      orNull<string>("string", { description: "null: it is a stand-in. Absent when it is several joined." }),
    ),
    pci_bus_ids: Type.Optional(Type.Array(Type.String(), { description: "Only when it is several, as uuids." })),
    kind: oneOf(["gpu", "cpu", "simulated", "remote"], { description: "remote: a server that runs already." }),
    status: oneOf(GPU_STATES, {
      description:
        "starting: loads the model; ready: takes tasks; hot: takes none until it has cooled down; draining: finishes what runs, takes nothing new; drained: has finished; unfit: cannot serve as things are; faulted: failed, is tried again by itself; lost: is not there any more.",
    }),
    reason: orNull<string>("string", { description: "Why it is in this state; null: it is ready." }),
    since: Time("Since when the status holds."),
    crowded: orNull<string>("string", { description: "Why it gets no new tasks although it is ready; null: it does." }),
    slots: Type.Integer({ description: "Tasks it may run at once." }),
    load: Type.Number({ description: "The figure that least_loaded compares, 0 to 1." }),
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
    others_utilization: orNull<number>("number", {
      description: "Share of its time, 0 to 1, that others use; of a server, share of the requests it can work on.",
    }),
    memory_free: orNull<number>("integer", { description: "Bytes." }),
    compute_capability: orNull<number>("number", { description: "CUDA's, like 8.6." }),
    model: orNull<string>("string", {
      description: "The model, for people; null: not loaded yet, or there may be several, as of all about its model.",
    }),
    model_name: orNull<string>("string", { description: "What requests call its model; null: not loaded yet." }),
    capabilities: Type.Unsafe<Capability[] | null>({
      type: ["array", "null"],
      items: { enum: [...CAPABILITIES] },
      description: "What its model can do; null: not loaded yet.",
    }),
    chat_template: orNull<boolean>("boolean", {
      description: "Whether its model has a chat template; null: not loaded yet, or its server does not tell.",
    }),
    context: orNull<number>("integer", {
      description: "Tokens for each slot; null: no model is loaded yet, or its server does not tell.",
    }),
    memory_note: orNull<string>("string", {
      description: "Settings that were made smaller, because the memory was too small for the configured ones.",
    }),
    device: orNull<string>("string", { description: "The device that the engine reports; null: none yet." }),
    restarts: Type.Integer({ description: "Worker processes that died since the server started." }),
    instances: Type.Array(GpuInstance, { description: "The models that it may hold, those too that are not loaded." }),
    settings: Type.Unsafe<EngineSetting[] | null>({
      type: ["array", "null"],
      items: {
        type: "object",
        properties: { name: { type: "string" }, value: { type: ["string", "number"] }, reason: { type: "string" } },
        required: ["name", "value", "reason"],
      },
      description: "How its engine computes, and why so; null: no model is loaded yet.",
    }),
    upstream: Type.Unsafe<UpstreamView | null>({
      type: ["object", "null"],
      properties: {
        running: { type: ["integer", "null"], description: "Requests it works on, by everybody." },
        waiting: { type: ["integer", "null"], description: "Requests that wait there." },
        kv_cache_use: { type: ["number", "null"], description: "Share of its KV cache in use, 0 to 1." },
        slots: { type: ["integer", "null"], description: "Requests it can work on at once." },
      },
      required: ["running", "waiting", "kv_cache_use", "slots"],
      description: "Figures that the server behind it reports; null: there is none, or it reports none.",
    }),
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
  user: Type.String({ description: "The user whose task it is." }),
  started_at: TimeOrNull("When it started there."),
});

const GpuEvent = Type.Object({
  at: Time("When it happened."),
  event: Type.String({ description: "The state it went into, or what happened, such as xid." }),
  reason: Type.String({ description: "One sentence." }),
});

export const GpuDetails = Type.Object(
  {
    ...GpuView.properties,
    pid: orNull<number>("integer", { description: "Process id of the worker; null: none runs." }),
    processes: Type.Unsafe<Static<typeof GpuProcess>[] | null>({
      type: ["array", "null"],
      items: GpuProcess,
      description: "The processes that use it.",
    }),
    events: Type.Array(GpuEvent, { description: "The latest ones, oldest first." }),
    running_tasks: Type.Array(RunningTask, {
      description: "A `user` sees its own tasks here, a `viewer` that has a team the team's, the others all.",
    }),
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

export const GpuDetailsRef = shared(GpuDetails);

export const GpusAnswer = Type.Object({
  gpus: Type.Array(shared(GpuView)),
  notes: Type.Optional(
    Type.Array(Type.String(), {
      description:
        "Sentences of drivers that are installed and listed no GPU when the server started; absent when there are none.",
    }),
  ),
});
export type GpusAnswer = Static<typeof GpusAnswer>;
