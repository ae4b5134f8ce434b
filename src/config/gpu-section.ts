/** The schema of `gpu`. */
import { Type } from "../common/type.ts";
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
      "auto: this machine's GPUs, or CPU devices where it has none. Entries may have settings of their own:",
      "  - { gpu: 0, name: fast, slots: 16, memory_threshold: 0.8, utilization_threshold: 0.9, max_temperature: 80 }",
      "  - { gpu: GPU-8932f937, engine: { kind: llama, model: a.gguf, context: 4096, min_context: 1024 } }",
      "  - { gpu: cpu:1, engine: { threads: 4 } }",
      "  - { gpus: [2, 3] } # both hold one model together",
      "  - { gpu: simulated:2, memory_bytes: 8000000000 } # each pretends to have so much memory",
      "  - { name: b, slots: 16, engine: { kind: openai, url: http://10.0.0.5:8000, token_timeout: 60 } } # a server elsewhere",
      "A GPU may be in several entries; each entry has a worker of its own.",
    ].join("\n"),
  }),
  cpu_fallback: Type.Optional(
    Type.Boolean({
      description:
        "Whether CPU devices serve where no GPU can. null: where no GPU is found, also when a driver lists none (with a warning); for the demo model also where the GPUs lack only a package that npx alt-las add-gpu brings; never in the place of a GPU that was found and failed. true: in the place of GPUs that failed at the start, too. false: never; without a GPU the start is refused.",
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
        "A GPU hotter than this many °C gets no new tasks until it is 5 °C below. null: 2 °C below the temperature at which its driver slows it down, else 85.",
    }),
  ),
  health_check_interval: Type.Number({
    default: 60,
    minimum: 0,
    maximum: 86_400,
    description: "Seconds after which an idle GPU must generate one token, to show that it works; 0: never.",
  }),
  stall_timeout: Type.Number({
    default: 60,
    minimum: 1,
    maximum: 86_400,
    description: "Seconds without progress after which a worker that has tasks counts as failed.",
  }),
  monitoring: section("Measuring GPUs.", {
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
        "Names of further environment variables for workers and the programs they start. They always get those of the system, the GPU drivers and llama.cpp.",
    },
  ),
  multi_gpu: section("Placement over several GPUs.", {
    enabled: Type.Boolean({ default: true, description: "false: only the first GPU is used." }),
    default_strategy: Type.Enum([...STRATEGIES], {
      live: true,
      default: "least_loaded",
      description: "The strategy of requests that name none.",
    }),
    strategies: Type.Array(Type.Enum([...STRATEGIES]), {
      live: true,
      default: [...STRATEGIES],
      minItems: 1,
      description: "Strategies that a request may name.",
    }),
    batch_split: Type.Boolean({
      live: true,
      default: true,
      description: "Whether batches that do not say are spread over several GPUs.",
    }),
    min_batch_size_per_gpu: Type.Integer({
      live: true,
      default: 1,
      minimum: 1,
      description: "Items that each GPU gets at least when a batch is spread.",
    }),
    max_concurrent_tasks_per_gpu: Type.Integer({
      live: true,
      default: 8,
      minimum: 1,
      maximum: 256,
      description: "Slots of each GPU: tasks that run there at once.",
    }),
    max_queue_size: Type.Integer({
      live: true,
      default: 100_000,
      minimum: 0,
      description: "Tasks that may wait in all; over it: 503.",
    }),
    max_queue_bytes: Type.Integer({
      live: true,
      default: 1024 * MIB,
      minimum: 0,
      description: "Bytes of their texts, on disk; over it: 503.",
    }),
    memory_threshold: Type.Number({
      live: true,
      default: 0.9,
      minimum: 0,
      maximum: 1,
      description: "A GPU gets no new tasks while other programs take more than this share of its memory.",
    }),
    utilization_threshold: Type.Number({
      live: true,
      default: 0.95,
      minimum: 0,
      maximum: 1,
      description: "A GPU gets no new tasks while other programs use more than this share of its time.",
    }),
    queue_timeout: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: LONGEST_SECONDS,
        allowed: "a number of seconds above 0",
        description: "Seconds a task may wait for a slot before it fails with the code timeout; null: any time.",
      }),
    ),
    task_specific_mappings: Type.Record(
      Type.String(),
      Type.Union([GpuName, Type.Array(GpuName, { minItems: 1 })], {
        allowed: 'a name like "gpu_0", a number like 0, or a list of these',
      }),
      {
        live: true,
        default: {},
        description: 'For the strategy task_specific: task_type → "gpu_0", 0, or a list of these.',
      },
    ),
  }),
});
