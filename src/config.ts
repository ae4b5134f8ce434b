/** The configuration: one schema, from which come the defaults, the types, the checks and config.example.yaml. */
import { existsSync, readFileSync } from "node:fs";
import { type Static, type TSchema, Type } from "typebox";
import { isMap, isNode, isScalar, LineCounter, parseDocument, visit, type Document } from "yaml";
import { ENGINE_KINDS, KV_CACHE_TYPES, SIMULATED_FAILURES } from "./engine/engine.ts";
import { AltLasError, messageOf } from "./errors.ts";
import { CACHE_BYTES } from "./store/messages.ts";
import { STRATEGIES } from "./task.ts";
import { fieldName, makeAjv, misfitOf } from "./validation.ts";

const MIB = 1024 * 1024;

/** An object that refuses unknown keys and may be left out as a whole. */
function section<Properties extends Record<string, TSchema>>(description: string, properties: Properties) {
  return Type.Object(properties, { description, additionalProperties: false, default: {} });
}

const Name = Type.String({
  pattern: "^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$",
  allowed: "a name of 1 to 64 letters, digits, '.', '_', '@' or '-'",
});
export const ROLES = ["admin", "user", "viewer"] as const;
export const RoleSchema = Type.Enum([...ROLES]);
export type Role = (typeof ROLES)[number];

export const UserSchema = Type.Object(
  {
    name: Name,
    role: RoleSchema,
    password_hash: Type.Optional(
      Type.String({
        pattern: "^scrypt\\$\\d+\\$\\d+\\$\\d+\\$[A-Za-z0-9_-]+\\$[A-Za-z0-9_-]+$",
        allowed: 'a hash as "alt-las users hash" prints it',
        secret: true,
      }),
    ),
  },
  { additionalProperties: false },
);

export const KeySchema = Type.Object(
  {
    name: Name,
    user: Name,
    sha256: Type.String({ pattern: "^[0-9a-f]{64}$", allowed: "64 hexadecimal digits in lower case", secret: true }),
  },
  { additionalProperties: false },
);

/** Ten years: beyond it a time is no limit, and JavaScript's dates stay exact. */
const LONGEST_SECONDS = 315_360_000;

const Weight = { minimum: 0.001, maximum: 1000 };

/** How much one caller may have. */
const callerLimits = {
  max_queued: Type.Optional(Type.Integer({ minimum: 0, description: "Tasks that may wait; over it: 429." })),
  max_running: Type.Optional(
    Type.Integer({ minimum: 1, description: "Tasks that run at once; more wait, whatever is free." }),
  ),
  requests_per_minute: Type.Optional(
    Type.Integer({ minimum: 1, description: "Submissions, refused ones too; over it: 429." }),
  ),
  tokens_per_minute: Type.Optional(
    Type.Integer({
      minimum: 1,
      description:
        "Tokens of prompts and answers, first estimated, then counted; over it: 429. What takes more than all of them waits for a full minute.",
    }),
  ),
};

const GpuName = Type.Union([
  Type.String({ pattern: "^gpu_\\d+$", allowed: 'a name like "gpu_0"' }),
  Type.Integer({ minimum: 0 }),
]);

/** What names a GPU of this machine; `GPU_ID` also fits the first digits of a UUID, and AMD's bus ids. */
const GPU_ID = "gpu:\\d+|(GPU|MIG|AMD)-[0-9A-Za-z:./-]+";
const STAND_IN = "(cpu|simulated):[1-9]\\d{0,3}";
const GPU_ALLOWED = '"gpu:INDEX", an index or a GPU\'s UUID';
const DEVICE_ALLOWED = '"auto", "cpu:N", "simulated:N", "gpu:INDEX", an index or a GPU\'s UUID';

/** A name that fits the pattern, or a GPU's number. */
function deviceName(pattern: string, allowed: string) {
  return Type.Union([Type.String({ pattern: `^(${pattern})$` }), Type.Integer({ minimum: 0 })], { allowed });
}

const Share = Type.Number({ minimum: 0, maximum: 1 });
const Slots = Type.Integer({ minimum: 1, maximum: 256 });
const Celsius = Type.Number({ minimum: 20, maximum: 120 });
const ContextTokens = Type.Integer({ minimum: 16 });
const Threads = Type.Integer({ minimum: 1, maximum: 1024 });
const EngineKind = Type.Enum([...ENGINE_KINDS]);
const NonEmpty = Type.String({ minLength: 1 });
const STEP_TOKENS = { minimum: 1, maximum: 65_536 };
const StepTokens = Type.Integer(STEP_TOKENS);
const PATIENCE = { minimum: 0.1, maximum: 86_400 };
const FLASH_ATTENTION = { enum: ["auto", true, false], allowed: "auto, true or false" };
const FlashAttention = Type.Unsafe<boolean | "auto">(FLASH_ATTENTION);
const KvCacheType = Type.Enum(["auto", ...KV_CACHE_TYPES]);

/** What an engine may have of its own on one device. */
const EngineSettings = Type.Object(
  {
    kind: Type.Optional(EngineKind),
    model: Type.Optional(NonEmpty),
    context: Type.Optional(ContextTokens),
    min_context: Type.Optional(ContextTokens),
    threads: Type.Optional(Threads),
    prefill_chunk: Type.Optional(StepTokens),
    batch_size: Type.Optional(StepTokens),
    flash_attention: Type.Optional(FlashAttention),
    kv_cache_type: Type.Optional(KvCacheType),
    binary: Type.Optional(NonEmpty),
    url: Type.Optional(NonEmpty),
    api_key: Type.Optional(Type.String({ minLength: 1, secret: true })),
    first_byte_timeout: Type.Optional(Type.Number(PATIENCE)),
    token_timeout: Type.Optional(Type.Number(PATIENCE)),
  },
  { additionalProperties: false },
);
export type EngineSettings = Static<typeof EngineSettings>;

/** What a device has of its own; whatever is left out is as for all devices. */
const DeviceSettings = Type.Object(
  {
    gpu: Type.Optional(
      deviceName(`${STAND_IN}|${GPU_ID}`, '"cpu:N", "simulated:N", "gpu:INDEX", an index or a GPU\'s UUID'),
    ),
    gpus: Type.Optional(Type.Array(deviceName(GPU_ID, GPU_ALLOWED), { minItems: 1 })),
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 100, allowed: "a string of 1 to 100 characters" })),
    slots: Type.Optional(Slots),
    memory_threshold: Type.Optional(Share),
    utilization_threshold: Type.Optional(Share),
    max_temperature: Type.Optional(Celsius),
    engine: Type.Optional(EngineSettings),
  },
  { additionalProperties: false },
);
export type DeviceSettings = Static<typeof DeviceSettings>;

const DeviceName = deviceName(`auto|${STAND_IN}|${GPU_ID}`, `${DEVICE_ALLOWED}, or an object with settings`);
/** One entry of `gpu.devices`. */
export type DeviceEntry = Static<typeof DeviceName> | DeviceSettings;
const DeviceEntry = Type.Unsafe<DeviceEntry>(either("object", DeviceSettings, DeviceName));

/** Not a union, so that a mistake is named by its own path and not by that of the whole. */
function either(type: "object" | "array", matching: TSchema, others: TSchema) {
  // oxlint-disable-next-line unicorn/no-thenable -- JSON Schema's word
  return { if: { type }, then: matching, else: others };
}

const Failure = Type.Object(
  {
    kind: Type.Enum([...SIMULATED_FAILURES]),
    gpu_id: Type.Optional(Type.Integer({ minimum: 0 })),
    when_text_contains: Type.Optional(Type.String()),
    after_tokens: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  { additionalProperties: false },
);

export const ConfigSchema = Type.Object(
  {
    server: section("Where and how the server listens.", {
      host: Type.String({ default: "127.0.0.1", minLength: 1, description: "Address to listen on." }),
      port: Type.Integer({ default: 8642, minimum: 0, maximum: 65535, description: "0: any free port." }),
      tls: section("HTTPS, when both are set: paths of PEM files.", {
        cert: Type.Optional(Type.String({ minLength: 1, description: "Path of the certificate chain." })),
        key: Type.Optional(Type.String({ minLength: 1, description: "Path of the private key." })),
      }),
      drain_timeout: Type.Number({
        default: 30,
        minimum: 0,
        maximum: 86_400,
        description: "Seconds a stop waits for running tasks.",
      }),
      trust_proxy: Type.Boolean({ default: false, description: "Believe X-Forwarded-* of a proxy in front." }),
      cors_origins: Type.Array(Type.String({ minLength: 1 }), {
        default: [],
        description: 'Web pages that may call the API, like "https://app.example.com".',
      }),
    }),
    auth: section("Who may call. More users and keys live in the data directory: see alt-las users and alt-las keys.", {
      enabled: Type.Boolean({ default: true, description: "false is honoured only on a loopback address." }),
      users: Type.Array(UserSchema, { default: [], description: "name, role (admin, user or viewer), password_hash." }),
      keys: Type.Array(KeySchema, { default: [], description: "name, user, sha256 (of the API key, in hexadecimal)." }),
    }),
    limits: section("What one request may ask for.", {
      max_text_bytes: Type.Integer({ default: MIB, minimum: 1, description: "Bytes of one text in UTF-8." }),
      max_batch_size: Type.Integer({ default: 1000, minimum: 1, maximum: 100_000, description: "Items of one batch." }),
      max_body_bytes: Type.Integer({ default: 64 * MIB, minimum: 1024, description: "Bytes of one request body." }),
    }),
    gpu: section("Which GPUs are used, and how tasks are placed on them.", {
      enabled: Type.Boolean({ default: true, description: "false: CPU devices only." }),
      devices: Type.Unsafe<DeviceEntry | readonly DeviceEntry[]>({
        ...either(
          "array",
          Type.Array(DeviceEntry, { minItems: 1, allowed: "a list with an entry at least" }),
          DeviceEntry,
        ),
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
    }),
    engine: section("What generates text on each GPU.", {
      kind: Type.Enum([...ENGINE_KINDS], {
        default: "llama",
        description: [
          "llama: llama.cpp inside the worker; llama-server: a llama.cpp server that the worker starts; openai: a server that runs already",
          "(vLLM, SGLang, TGI, llama-server, Ollama, another ALT_LAS); simulated: no model, for tests and load.",
        ].join("\n"),
      }),
      model: Type.Optional(
        Type.String({
          minLength: 1,
          description:
            "Path of a GGUF file; none: the demo model that comes with ALT_LAS. Of openai: the model's name there; none: the one it serves.",
        }),
      ),
      context: Type.Optional(
        Type.Integer({
          minimum: 16,
          description: "Tokens of context for each slot; none: the smaller of what the model was trained for and 8192.",
        }),
      ),
      min_context: Type.Integer({
        default: 2048,
        minimum: 16,
        description: "Where memory is short, the context of each slot becomes smaller down to this, then slots fewer.",
      }),
      threads: Type.Optional(
        Type.Integer({
          minimum: 1,
          maximum: 1024,
          description:
            "CPU threads of each device; none: on a CPU the cores less one for the server, shared out, on a GPU one.",
        }),
      ),
      prefill_chunk: Type.Integer({
        ...STEP_TOKENS,
        default: 256,
        description: "Tokens of prompts that are decoded at most in one step beside tasks that generate.",
      }),
      batch_size: Type.Optional(
        Type.Integer({ ...STEP_TOKENS, description: "Tokens of one step at most; none: by the device." }),
      ),
      flash_attention: Type.Unsafe<boolean | "auto">({
        ...FLASH_ATTENTION,
        default: "auto",
        description: "auto, true or false.",
      }),
      kv_cache_type: Type.Enum(["auto", ...KV_CACHE_TYPES], {
        default: "auto",
        description: "f16, q8_0, q4_0; auto: f16, or q8_0 where that lets slots keep the context that is wanted.",
      }),
      binary: Type.String({
        default: "llama-server",
        minLength: 1,
        description: "Of llama-server: the program, a path or a name on PATH.",
      }),
      url: Type.Optional(
        Type.Unsafe<string | readonly string[]>({
          ...either("array", Type.Array(NonEmpty, { minItems: 1 }), NonEmpty),
          description:
            "Of openai: where the server is, like http://10.0.0.5:8000; a list is one GPU for each. It goes with devices: auto, or with entries that have no url of their own.",
        }),
      ),
      api_key: Type.Optional(
        Type.String({
          minLength: 1,
          secret: true,
          description: "Of openai: its key, like ${VLLM_KEY}; none: it needs none.",
        }),
      ),
      first_byte_timeout: Type.Number({
        ...PATIENCE,
        default: 120,
        description: "Of openai and llama-server: seconds until an answer to a task has to begin.",
      }),
      token_timeout: Type.Number({
        ...PATIENCE,
        default: 30,
        description: "Of openai and llama-server: seconds that may pass between two pieces of an answer.",
      }),
      simulated: section("The simulated engine.", {
        tokens_per_second: Type.Number({
          default: 100,
          minimum: 0,
          description: "For each slot; 0: as fast as it can.",
        }),
        load_seconds: Type.Number({ default: 0, minimum: 0, maximum: 86_400, description: "How long loading takes." }),
        context: Type.Integer({ default: 32_768, minimum: 16, description: "Tokens of context for each slot." }),
        memory_bytes: Type.Integer({ default: 0, minimum: 0, description: "Bytes of weights it pretends to need." }),
        failures: Type.Array(Failure, {
          default: [],
          description: "kind, gpu_id, when_text_contains, after_tokens: what goes wrong, and when.",
        }),
      }),
    }),
    scheduling: section("How tasks are placed, beside gpu.multi_gpu.", {
      prefix_affinity: Type.Boolean({
        default: true,
        description:
          "Among GPUs within 10 % of the least load, prefer the one whose KV cache holds the beginning of the prompt.",
      }),
    }),
    tasks: section("The life of tasks.", {
      timeout: Type.Optional(
        Type.Number({
          exclusiveMinimum: 0,
          maximum: LONGEST_SECONDS,
          allowed: "a number of seconds above 0",
          description:
            "Seconds from its submission after which a task fails, for tasks that name no timeout_seconds; none: any time.",
        }),
      ),
      cancel_timeout: Type.Number({
        default: 5,
        minimum: 1,
        maximum: 3600,
        description:
          "Seconds a worker has to stop a task; then it is killed, and its other tasks go back to the queue.",
      }),
      max_attempts: Type.Integer({
        default: 3,
        minimum: 1,
        maximum: 100,
        description: "How often a task is tried that a lost GPU, a dead worker or a full GPU memory cut off.",
      }),
      retry_backoff: Type.Number({
        default: 1,
        minimum: 0,
        maximum: 3600,
        description: "Seconds before the second try; twice as long before each further one.",
      }),
      ageing_seconds: Type.Number({
        default: 60,
        exclusiveMinimum: 0,
        maximum: LONGEST_SECONDS,
        allowed: "a number of seconds above 0",
        description: "Seconds of waiting that lift a task by one priority.",
      }),
      retention: Type.Number({
        default: 604_800,
        minimum: 1,
        maximum: LONGEST_SECONDS,
        description: "Seconds that a task is kept after its end, with its webhooks.",
      }),
      max_stored: Type.Optional(
        Type.Integer({
          minimum: 0,
          description: "Ended tasks that are kept at most, the latest; none: any number.",
        }),
      ),
    }),
    callers: section("What each user may use of the server; not of a key, so that more keys bring nothing.", {
      defaults: section("For users that are not named below.", {
        weight: Type.Number({
          ...Weight,
          default: 1,
          description: "Its share of the GPUs beside other users that have tasks waiting.",
        }),
        ...callerLimits,
      }),
      users: Type.Record(
        Type.String(),
        Type.Object({ weight: Type.Optional(Type.Number(Weight)), ...callerLimits }, { additionalProperties: false }),
        {
          default: {},
          description:
            "User → what differs for it, like { bob: { weight: 2, max_running: 4 } }; what is left out or null is as in defaults.",
        },
      ),
    }),
    webhooks: section("How tasks tell others what became of them.", {
      allow_private: Type.Boolean({
        default: false,
        description: "Whether webhook_url may lead to private, loopback and link-local addresses.",
      }),
    }),
    store: section("Where tasks are kept.", {
      path: Type.Optional(
        Type.String({ minLength: 1, description: "Path of the SQLite file; none: alt-las.db in the data directory." }),
      ),
      cache_bytes: Type.Integer({
        default: CACHE_BYTES,
        minimum: MIB,
        description:
          "Bytes of the file that are kept in memory at most, so that tasks need not be read again when they end.",
      }),
    }),
    log: section("The log, on standard error.", {
      level: Type.Enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"], {
        default: "info",
        description: "trace, debug, info, warn, error, fatal or silent.",
      }),
    }),
  },
  { additionalProperties: false },
);

/** A checked configuration with every default filled in; frozen. */
export type Config = Static<typeof ConfigSchema>;

/** What the command line or the environment sets over the file. */
export interface ConfigOverrides {
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly devices?: string | undefined;
  readonly model?: string | undefined;
  readonly logLevel?: string | undefined;
}

const validate = makeAjv(false).compile(ConfigSchema);

/**
 * Reads the configuration: `file`, else ./config.yaml if it exists, else the defaults; then the overrides.
 * @throws {AltLasError} `bad_config`, naming file, line, key, what was given and what is allowed
 */
export function loadConfig(file: string | undefined, overrides: ConfigOverrides = {}): Config {
  const path = file ?? (existsSync("config.yaml") ? "config.yaml" : undefined);
  if (path === undefined) return finish({}, overrides);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new AltLasError("bad_config", `The configuration file ${path} cannot be read: ${messageOf(error)}.`);
  }
  return parseConfig(text, path, overrides);
}

/** As `loadConfig`, for text that was read already; `path` is only named in sentences. */
export function parseConfig(text: string, path: string, overrides: ConfigOverrides = {}): Config {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const problem = document.errors[0];
  if (problem) {
    const { line, col } = lines.linePos(problem.pos[0]);
    const [what = ""] = problem.message.split("\n");
    const sentence = what.replace(/ at line \d+, column \d+:?$/, "");
    throw new AltLasError("bad_config", `${path}:${line}:${col}: not YAML: ${sentence}.`);
  }
  substituteEnvironment(document, path, lines);
  const value: unknown = document.toJS() ?? {};
  if (isCircular(value)) throw new AltLasError("bad_config", `${path}: an alias (*) stands inside what it refers to.`);
  return finish(value, overrides, (at) => `${path}:${lineOf(document, lines, at)}: `);
}

/** Replaces `${NAME}` in every scalar by that environment variable; a scalar that is nothing else is read as YAML again. */
function substituteEnvironment(document: Document, path: string, lines: LineCounter): void {
  visit(document, {
    Scalar(_key, node) {
      if (typeof node.value !== "string" || !node.value.includes("${")) return;
      const text = node.value.replace(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_match, name: string) => {
        const value = process.env[name];
        if (value !== undefined) return value;
        const line = lines.linePos(node.range?.[0] ?? 0).line;
        throw new AltLasError("bad_config", `${path}:${line}: the environment variable ${name} is not set.`);
      });
      const whole = /^\$\{[A-Za-z0-9_]+\}$/.test(node.value);
      node.value = whole && /^(true|false|-?\d+(\.\d+)?)$/.test(text) ? JSON.parse(text) : text;
    },
  });
}

function isCircular(value: unknown): boolean {
  try {
    JSON.stringify(value);
    return false;
  } catch {
    return true;
  }
}

/** The line of the key or list item that `path` leads to, or of the nearest one around it that is in the file. */
function lineOf(document: Document, lines: LineCounter, path: readonly (string | number)[]): number {
  for (let length = path.length; length > 0; length--) {
    const parent = document.getIn(path.slice(0, length - 1), true);
    const name = path[length - 1];
    const pair = isMap(parent)
      ? parent.items.find(({ key }) => isScalar(key) && String(key.value) === String(name))
      : undefined;
    const node = pair?.key ?? document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return 1;
}

function finish(
  value: unknown,
  overrides: ConfigOverrides,
  where: (path: readonly (string | number)[]) => string = () => "",
): Config {
  const config = withoutNulls(value);
  check(config, where);
  const merged = { ...config, ...mergeOverrides(config, overrides) };
  check(merged, () => "Command line: ");
  checkTogether(merged, where);
  return deepFreeze(merged);
}

function check(value: unknown, where: (path: readonly (string | number)[]) => string): asserts value is Config {
  if (validate(value)) return;
  const misfit = misfitOf(validate, "the configuration");
  throw new AltLasError("bad_config", where(misfit.path) + misfit.sentence);
}

function mergeOverrides(config: Config, { host, port, devices, model, logLevel }: ConfigOverrides): Partial<Config> {
  const devicesList = devices?.split(",");
  return {
    server: { ...config.server, ...(host !== undefined && { host }), ...(port !== undefined && { port }) },
    gpu: { ...config.gpu, ...(devicesList && { devices: devicesList.length === 1 ? devicesList[0]! : devicesList }) },
    engine: { ...config.engine, ...(model !== undefined && { model }) },
    log: { ...config.log, ...(logLevel !== undefined && { level: logLevel as Config["log"]["level"] }) },
  };
}

/** Throws what is wrong with the value at a path. */
type Refuse = (path: readonly (string | number)[], sentence: string) => never;

/** Rules between keys, which a schema cannot say. */
function checkTogether(config: Config, where: (path: readonly (string | number)[]) => string): void {
  const refuse: Refuse = (path, sentence) => {
    throw new AltLasError("bad_config", `${where(path)}${fieldName(path, "")} ${sentence}`);
  };
  const { default_strategy, strategies } = config.gpu.multi_gpu;
  if (!strategies.includes(default_strategy)) {
    refuse(
      ["gpu", "multi_gpu", "default_strategy"],
      `is ${default_strategy}, which gpu.multi_gpu.strategies does not list.`,
    );
  }
  checkDevices(config, refuse);
  const { cert, key } = config.server.tls;
  if ((cert === undefined) !== (key === undefined)) {
    refuse(["server", "tls"], "needs both cert and key, or neither.");
  }
  const names = config.auth.users.map((user) => user.name);
  const twice = names.find((name, index) => names.indexOf(name) < index);
  if (twice !== undefined) refuse(["auth", "users"], `names ${twice} twice.`);
  if (!config.auth.enabled && !isLoopback(config.server.host)) {
    refuse(
      ["auth", "enabled"],
      `is false, which is honoured only on a loopback address; server.host is ${config.server.host}.`,
    );
  }
}

/** The entries of `gpu.devices`, each with its place; a name alone is an entry without settings. */
export function deviceEntries({ gpu: { devices } }: Config): { path: (string | number)[]; entry: DeviceSettings }[] {
  const root = ["gpu", "devices"];
  const entries: readonly DeviceEntry[] = isList(devices) ? devices : [devices];
  return entries.map((entry, index) => ({
    path: isList(devices) ? [...root, index] : root,
    entry: typeof entry === "object" ? entry : { gpu: entry },
  }));
}

function isList(devices: DeviceEntry | readonly DeviceEntry[]): devices is readonly DeviceEntry[] {
  return Array.isArray(devices);
}

function checkDevices(config: Config, refuse: Refuse): void {
  const entries = deviceEntries(config);
  for (const { path, entry } of entries) {
    const { gpu, gpus } = entry;
    if (gpu !== undefined && gpus !== undefined) refuse(path, "has both gpu and gpus; only one of them may be there.");
    const names = (gpus ?? []).map(fullName);
    const twice = names.find((name, index) => names.indexOf(name) < index);
    if (twice !== undefined) refuse([...path, "gpus"], `names ${twice} twice.`);
    if (isRemote(entry, config)) checkRemote(config, { path, entry }, refuse);
    else checkEntry(config, { path, entry }, refuse);
  }
  const { kind, url } = config.engine;
  if (url !== undefined && kind !== "openai" && !entries.some(({ entry }) => isRemote(entry, config)))
    refuse(["engine", "url"], `is there, but engine.kind is ${kind}; only openai asks a server.`);
}

type PlacedEntry = ReturnType<typeof deviceEntries>[number];

/** Whether an entry means servers that run already. A simulated device stays one whatever the engine of the others is. */
export function isRemote({ gpu, engine }: DeviceSettings, config: Config): boolean {
  return (engine?.kind ?? config.engine.kind) === "openai" && !String(gpu).startsWith("simulated:");
}

/** The servers that an entry with the engine openai means. */
export function urlsOf({ engine }: DeviceSettings, config: Config): readonly string[] {
  return [engine?.url ?? config.engine.url ?? []].flat();
}

function checkRemote(config: Config, { path, entry }: PlacedEntry, refuse: Refuse): void {
  const own = entry.engine?.kind === undefined ? ["engine"] : [...path, "engine"];
  const name = entry.gpu ?? entry.gpus?.[0];
  if (name !== undefined && name !== "auto")
    refuse(path, `names ${name}, but its engine.kind is openai, whose server has its own GPU; leave ${name} out.`);
  if (urlsOf(entry, config).length === 0)
    refuse([...own, "url"], "is missing; engine.kind openai needs the address of a server, like http://10.0.0.5:8000.");
}

/** What an entry names must go with `gpu.enabled` and with the engine. */
function checkEntry(config: Config, { path, entry }: PlacedEntry, refuse: Refuse): void {
  const name = entry.gpu ?? entry.gpus?.[0];
  const kind = entry.engine?.kind ?? config.engine.kind;
  const standIn = /^(cpu|simulated):/.exec(String(name))?.[1];
  if (standIn === "cpu" && kind === "simulated") {
    refuse(path, `names ${name}, but its engine is simulated; use "simulated:N" or a GPU.`);
  }
  if (standIn === "simulated" && (entry.engine?.kind ?? "simulated") !== "simulated") {
    refuse(path, `names ${name}, but its engine.kind is ${kind}; a simulated device has only the simulated engine.`);
  }
  if (entry.engine?.url !== undefined) {
    refuse([...path, "engine", "url"], `is there, but engine.kind is ${kind}; only openai asks a server.`);
  }
  checkKvCache(config, { path, entry }, refuse);
  if (name === undefined) return refuse(path, "needs gpu, or gpus for several that hold one model.");
  if (!config.gpu.enabled && standIn === undefined && name !== "auto") {
    refuse(path, `names ${name}, but gpu.enabled is false.`);
  }
}

function checkKvCache({ engine }: Config, { path, entry }: PlacedEntry, refuse: Refuse): void {
  const own = entry.engine?.kv_cache_type;
  const type = own ?? engine.kv_cache_type;
  const flashAttention = entry.engine?.flash_attention ?? engine.flash_attention;
  if (flashAttention !== false || type === "auto" || type === "f16") return;
  const where = own === undefined ? ["engine"] : [...path, "engine"];
  refuse([...where, "kv_cache_type"], `is ${type}, but flash_attention is false, without which there is only f16.`);
}

/** The same for 0 and for gpu:0. */
function fullName(name: string | number): string {
  return typeof name === "number" ? `gpu:${name}` : name;
}

/** Whether only this machine can reach a server that listens on `host`. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** `null` counts as absent, so that an example can show a key that has no default. */
export function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (value === null || typeof value !== "object") return value;
  const kept = Object.entries(value).filter(([, inner]) => inner !== null);
  return Object.fromEntries(kept.map(([key, inner]) => [key, withoutNulls(inner)]));
}

function deepFreeze<T>(value: T): T {
  if (value !== null && typeof value === "object") {
    Object.values(value).forEach(deepFreeze);
    Object.freeze(value);
  }
  return value;
}
