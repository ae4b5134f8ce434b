/** The schema of `gpu`. */
import { Type } from "typebox";
import { STRATEGIES } from "../task.ts";
import { DEVICE_ALLOWED, DeviceEntry } from "./device-settings.ts";
import { either, LONGEST_SECONDS, MIB, section } from "./section.ts";

const GpuName = Type.Union([
  Type.String({ pattern: "^gpu_\\d+$", allowed: 'a name like "gpu_0"' }),
  Type.Integer({ minimum: 0 }),
]);

export const GpuSection = section("Which GPUs are used, and how tasks are placed on them.", {
  enabled: Type.Boolean({ default: true, description: "false: CPU devices only." }),
  devices: Type.Unsafe<DeviceEntry | readonly DeviceEntry[]>({
    ...either("array", Type.Array(DeviceEntry, { minItems: 1, allowed: "a list with an entry at least" }), DeviceEntry),
    default: "auto",
    description: [
      `${DEVICE_ALLOWED}, an object with settings, or a list of these.`,
      "auto: this machine's GPUs, or CPU devices where it has none. Entries with settings of their own:",
      "  - { gpu: 0, name: fast, slots: 16, memory_threshold: 0.8, utilization_threshold: 0.9, max_temperature: 80 }",
      "  - { gpu: GPU-8932f937, engine: { kind: llama, model: a.gguf, context: 4096, min_context: 1024 } }",
      "  - { gpu: cpu:1, engine: { threads: 4 } }",
      "  - { gpus: [2, 3] } # holds one model over both",
      "  - { name: b, slots: 16, engine: { kind: openai, url: http://10.0.0.5:8000, token_timeout: 60 } } # a server elsewhere",
      "A GPU may stand in several entries: each has a worker of its own there.",
    ].join("\n"),
  }),
  cpu_fallback: Type.Optional(
    Type.Boolean({
      description:
        "Whether CPU devices serve where no GPU can; none: only where the machine has no GPU at all, never in place of one that fails.",
    }),
  ),
  min_compute_capability: Type.Number({
    default: 7,
    minimum: 0,
    maximum: 100,
    description: "NVIDIA GPUs below this CUDA compute capability are not used.",
  }),
  max_temperature: Type.Optional(
    Type.Number({
      minimum: 20,
      maximum: 120,
      description:
        "A GPU hotter than this many °C gets no new tasks until it is 5 °C below; none: 2 °C below where its driver says that it slows down, else 85.",
    }),
  ),
  health_check_interval: Type.Number({
    default: 60,
    minimum: 0,
    maximum: 86_400,
    description: "Seconds after which an idle GPU is asked for one token; 0: never.",
  }),
  stall_timeout: Type.Number({
    default: 60,
    minimum: 1,
    maximum: 86_400,
    description: "Seconds without progress after which a worker that has tasks counts as failed.",
  }),
  monitoring: section("What the drivers are asked.", {
    interval_ms: Type.Integer({
      default: 500,
      minimum: 50,
      maximum: 60_000,
      description: "Milliseconds between two samples of all GPUs.",
    }),
  }),
  worker_environment: Type.Array(
    Type.String({
      pattern: "^(?!ALT_LAS_API_KEY$)[A-Za-z_][A-Za-z0-9_()]*$",
      allowed: "the name of an environment variable, and not ALT_LAS_API_KEY",
    }),
    {
      default: [],
      description:
        "Environment variables that workers, and what they start, get beside those of the system, the GPU drivers and llama.cpp.",
    },
  ),
  multi_gpu: section("Placement over several GPUs.", {
    enabled: Type.Boolean({ default: true, description: "false: only the first GPU is used." }),
    default_strategy: Type.Enum([...STRATEGIES], {
      default: "least_loaded",
      description: "For requests that name no strategy.",
    }),
    strategies: Type.Array(Type.Enum([...STRATEGIES]), {
      default: [...STRATEGIES],
      minItems: 1,
      description: "Those a request may name.",
    }),
    batch_split: Type.Boolean({ default: true, description: "Spread batches that do not say otherwise." }),
    min_batch_size_per_gpu: Type.Integer({
      default: 1,
      minimum: 1,
      description: "Items of a spread batch that make one more GPU worth it.",
    }),
    max_concurrent_tasks_per_gpu: Type.Integer({ default: 8, minimum: 1, maximum: 256, description: "Slots." }),
    max_queue_size: Type.Integer({
      default: 100_000,
      minimum: 0,
      description: "Tasks that may wait; over it: 503.",
    }),
    max_queue_bytes: Type.Integer({
      default: 1024 * MIB,
      minimum: 0,
      description: "Bytes of text that may wait; over it: 503.",
    }),
    memory_threshold: Type.Number({
      default: 0.9,
      minimum: 0,
      maximum: 1,
      description: "A GPU sits out while others take more than this share of its memory.",
    }),
    utilization_threshold: Type.Number({
      default: 0.95,
      minimum: 0,
      maximum: 1,
      description: "A GPU sits out while others use more than this share of its time.",
    }),
    queue_timeout: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: LONGEST_SECONDS,
        allowed: "a number of seconds above 0",
        description: "Seconds a task may wait for a slot before it fails with the code timeout; none: any time.",
      }),
    ),
    task_specific_mappings: Type.Record(
      Type.String(),
      Type.Union([GpuName, Type.Array(GpuName, { minItems: 1 })], {
        allowed: 'a name like "gpu_0", a number like 0, or a list of these',
      }),
      {
        default: {},
        description: 'task_type → "gpu_0", 0, or a list of these.',
      },
    ),
  }),
});
