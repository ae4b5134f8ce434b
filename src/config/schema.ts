/** The one schema of the configuration, from which come the defaults, the types, the checks and config.example.yaml. */
import { type Static, Type } from "typebox";
import { CACHE_BYTES } from "../store/messages.ts";
import { CallersSection, KeySchema, UserSchema } from "./accounts.ts";
import { EngineSection } from "./engine-section.ts";
import { GpuSection } from "./gpu-section.ts";
import { LONGEST_SECONDS, MIB, section } from "./section.ts";

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
      trust_proxy: Type.Unsafe<boolean | readonly string[]>({
        type: ["boolean", "array"],
        items: { type: "string" },
        default: false,
        allowed: "true, false or a list of addresses and networks, like [127.0.0.1, 10.0.0.0/8]",
        description:
          "Proxies in front whose X-Forwarded-* is believed: a list of addresses and networks, like [127.0.0.1, 10.0.0.0/8]; true: whoever connects.",
      }),
      cors_origins: Type.Array(Type.String({ minLength: 1 }), {
        default: [],
        description: 'Web pages of others that may call the API, like "https://app.example.com".',
      }),
    }),
    auth: section(
      "Who may call. More users and keys live in the data directory: see npx alt-las users and npx alt-las keys.",
      {
        enabled: Type.Boolean({ default: true, description: "false is honoured only on a loopback address." }),
        users: Type.Array(UserSchema, {
          default: [],
          description: "name, role (admin, user or viewer), password_hash.",
        }),
        keys: Type.Array(KeySchema, {
          default: [],
          description: "name, user, sha256 (of the API key, in hexadecimal).",
        }),
      },
    ),
    limits: section("What one request may ask for.", {
      max_text_bytes: Type.Integer({ default: MIB, minimum: 1, description: "Bytes of one text in UTF-8." }),
      max_batch_size: Type.Integer({ default: 1000, minimum: 1, maximum: 100_000, description: "Items of one batch." }),
      unauthenticated_connections: Type.Integer({
        default: 1024,
        minimum: 1,
        description:
          "Open connections of one address that have shown no credentials; those of server.trust_proxy have no such limit.",
      }),
      max_body_bytes: Type.Integer({ default: 64 * MIB, minimum: 1024, description: "Bytes of one request body." }),
      max_open_bytes: Type.Optional(
        Type.Integer({
          minimum: 1024,
          description:
            "Bytes of bodies and large answers that all requests under way hold; one caller may have half. Over it: 503, or 429 for the caller. Default: 256 MiB, or a quarter of what Node's heap may have where that is less; at least one largest body.",
        }),
      ),
      max_open_requests: Type.Optional(
        Type.Integer({
          minimum: 1,
          description:
            "Requests of one caller that may be open at once: readers that wait or read along, and what is under way. Over it: 429. Default: 10,000, or one for each 64 KiB that Node's heap may have where those are fewer.",
        }),
      ),
    }),
    gpu: GpuSection,
    engine: EngineSection,
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
    callers: CallersSection,
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
