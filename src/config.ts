/** The configuration: one schema, from which come the defaults, the types, the checks and config.example.yaml. */
import { existsSync, readFileSync } from "node:fs";
import { type Static, type TSchema, Type } from "typebox";
import { isMap, isNode, isScalar, LineCounter, parseDocument, visit, type Document } from "yaml";
import { AltLasError, messageOf } from "./errors.ts";
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

const GpuName = Type.Union([
  Type.String({ pattern: "^gpu_\\d+$", allowed: 'a name like "gpu_0"' }),
  Type.Integer({ minimum: 0 }),
]);

/** One entry of `gpu.devices`: `auto`, `cpu:N`, `simulated:N`, `gpu:INDEX` or a GPU's UUID. */
const DEVICE_PATTERN = "^(auto|(cpu|simulated):[1-9]\\d{0,3}|gpu:\\d+|(GPU|MIG)-[0-9A-Za-z-]+)$";
const DEVICE_ALLOWED = '"auto", "cpu:N", "simulated:N", "gpu:INDEX" or a GPU\'s UUID';
const Device = Type.String({ pattern: DEVICE_PATTERN, allowed: DEVICE_ALLOWED });

const Failure = Type.Object(
  {
    kind: Type.Enum(["load_error", "crash", "hang", "error", "out_of_memory"]),
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
      devices: Type.Union([Device, Type.Array(Device, { minItems: 1 })], {
        default: "auto",
        allowed: `${DEVICE_ALLOWED}, or a list of these`,
        description: `${DEVICE_ALLOWED}, or a list of these. auto: this machine's GPUs, or CPU devices where it has none.`,
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
      kind: Type.Enum(["llama", "simulated"], {
        default: "llama",
        description: "simulated: no model, for tests and load.",
      }),
      model: Type.Optional(
        Type.String({
          minLength: 1,
          description: "Path of a GGUF file; none: the demo model that comes with ALT_LAS.",
        }),
      ),
      context: Type.Optional(
        Type.Integer({
          minimum: 16,
          description: "Tokens of context for each slot; none: the smaller of what the model was trained for and 8192.",
        }),
      ),
      threads: Type.Optional(
        Type.Integer({
          minimum: 1,
          maximum: 1024,
          description: "CPU threads of each CPU device; none: the cores less one for the server, shared out.",
        }),
      ),
      simulated: section("The simulated engine.", {
        tokens_per_second: Type.Number({
          default: 100,
          minimum: 0,
          description: "For each slot; 0: as fast as it can.",
        }),
        load_seconds: Type.Number({ default: 0, minimum: 0, maximum: 86_400, description: "How long loading takes." }),
        context: Type.Integer({ default: 32_768, minimum: 16, description: "Tokens of context for each slot." }),
        failures: Type.Array(Failure, {
          default: [],
          description: "kind, gpu_id, when_text_contains, after_tokens: what goes wrong, and when.",
        }),
      }),
    }),
    store: section("Where tasks are kept.", {
      path: Type.Optional(
        Type.String({ minLength: 1, description: "Path of the SQLite file; none: alt-las.db in the data directory." }),
      ),
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

/** Rules between keys, which a schema cannot say. */
function checkTogether(config: Config, where: (path: readonly (string | number)[]) => string): void {
  const refuse = (path: string[], sentence: string): never => {
    throw new AltLasError("bad_config", `${where(path)}${fieldName(path, "")} ${sentence}`);
  };
  const { default_strategy, strategies } = config.gpu.multi_gpu;
  if (!strategies.includes(default_strategy)) {
    refuse(
      ["gpu", "multi_gpu", "default_strategy"],
      `is ${default_strategy}, which gpu.multi_gpu.strategies does not list.`,
    );
  }
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
