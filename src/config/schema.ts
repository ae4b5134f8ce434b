/** The one schema of the configuration, from which come the defaults, the types, the checks and config.example.yaml. */
import { type Static, Type } from "../common/type.ts";
import { CallersSection, KeySchema, UserName, UserSchema } from "./accounts.ts";
import { AUDIT } from "./audit-section.ts";
import { CLUSTER } from "./cluster-section.ts";
import { EngineSection } from "./engine-section.ts";
import { GpuSection } from "./gpu-section.ts";
import { MODELS } from "./models-section.ts";
import { OIDC } from "./oidc-section.ts";
import { LONGEST_SECONDS, MIB, section } from "./section.ts";
import { STORE } from "./store-section.ts";
import { SERVER } from "./server-section.ts";
import { WEBHOOKS } from "./webhooks-section.ts";

export const ConfigSchema = Type.Object(
  {
    server: SERVER,
    auth: section(
      "Users who may call. More users and keys live in the data directory: see npx alt-las users and npx alt-las keys.",
      {
        enabled: Type.Boolean({
          default: true,
          description: "false: no credentials are needed; refused unless the server listens on a loopback address.",
        }),
        anonymous_user: Type.Optional(
          Type.String({
            ...UserName,
            description:
              "The user of requests without credentials that come from this machine itself: over a loopback address, through no proxy, from no foreign web page. null: they are refused.",
          }),
        ),
        users: Type.Array(UserSchema, {
          default: [],
          description:
            "Each with name, role (admin, user or viewer), team (a viewer that has one sees only what is the team's) and password_hash (npx alt-las users hash prints it).",
        }),
        keys: Type.Array(KeySchema, {
          default: [],
          description:
            "Each with name, user and sha256 (of the API key, in hexadecimal); scopes, models and expires_at may hold it to less.",
        }),
        oidc: OIDC,
      },
    ),
    limits: section("Limits of requests and connections.", {
      max_text_bytes: Type.Integer({
        live: true,
        default: MIB,
        minimum: 1,
        description: "Bytes of one text in UTF-8.",
      }),
      max_batch_size: Type.Integer({
        live: true,
        default: 1000,
        minimum: 1,
        maximum: 100_000,
        description: "Items of one batch.",
      }),
      unauthenticated_connections: Type.Integer({
        default: 1024,
        minimum: 1,
        description:
          "Open connections of one address that have shown no credentials; those of server.trust_proxy have no such limit.",
      }),
      max_body_bytes: Type.Integer({ default: 64 * MIB, minimum: 1024, description: "Bytes of one request body." }),
      max_file_bytes: Type.Integer({
        live: true,
        default: 200_000_000,
        minimum: 1,
        description: "Bytes of one file that is uploaded to /v1/files.",
      }),
      max_stored_file_bytes: Type.Integer({
        live: true,
        default: 20_000_000_000,
        minimum: 1,
        description:
          "Bytes of all files that are stored: over it 503. With several users, one may have half of it: over that 429.",
      }),
      max_open_bytes: Type.Optional(
        Type.Integer({
          minimum: 1024,
          description:
            "Bytes of the bodies and large answers of all requests under way: over it 503. One caller may have half: over it 429. null: 256 MiB, or a quarter of the heap's limit if that is less. Never less than max_body_bytes.",
        }),
      ),
      max_open_requests: Type.Optional(
        Type.Integer({
          minimum: 1,
          description:
            "Requests of one caller that may be open at once, also those that wait or read events; over it: 429. null: 10,000, or one for each 64 KiB of the heap's limit if those are fewer.",
        }),
      ),
    }),
    api: section("The APIs of others that are served beside the server's own.", {
      anthropic: Type.Boolean({
        default: false,
        description: "Whether Anthropic's API is served at /v1/messages.",
      }),
      openai: section("OpenAI's API, at /v1.", {
        default_max_tokens: Type.Optional(
          Type.Integer({
            minimum: 1,
            description:
              "Tokens of an answer whose request names no max_tokens. null: as many as the context has room for.",
          }),
        ),
      }),
      ollama: Type.Boolean({
        default: false,
        description: "Whether Ollama's API is served, too, at /api/chat and so on; see docs/ollama.md.",
      }),
    }),
    dashboard: section("The dashboard, at /.", {
      enabled: Type.Boolean({
        default: true,
        description: "Whether browsers get it; false: / and /docs are a 404, and the API stays as it is.",
      }),
    }),
    gpu: GpuSection,
    engine: EngineSection,
    models: MODELS,
    models_from_cache: Type.Boolean({
      live: true,
      default: true,
      description:
        "Whether models that were pulled are served, too: by their short names, loaded when they are wanted.",
    }),
    models_allow_urls: Type.Boolean({
      live: "file",
      default: false,
      description:
        "Whether an admin may have the server fetch models from any https address, and not only from the hub.",
    }),
    scheduling: section("Placement within a strategy.", {
      prefix_affinity: Type.Boolean({
        default: true,
        description:
          "Whether least_loaded prefers, among GPUs within 10 % of the least load, one whose KV cache holds the beginning of the prompt.",
      }),
    }),
    tasks: section("The life of tasks.", {
      timeout: Type.Optional(
        Type.Number({
          exclusiveMinimum: 0,
          maximum: LONGEST_SECONDS,
          allowed: "a number of seconds above 0",
          description:
            "Seconds from its submission after which a task that names no timeout_seconds fails; null: it may take any time.",
        }),
      ),
      cancel_timeout: Type.Number({
        default: 5,
        minimum: 1,
        maximum: 3600,
        description:
          "Seconds that a worker has to stop a task. After them the worker is killed, and its other tasks go back to the queue.",
      }),
      max_attempts: Type.Integer({
        default: 3,
        minimum: 1,
        maximum: 100,
        description:
          "How often a task is tried in all when a lost GPU, a dead worker or a full GPU memory cuts it off.",
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
          description: "Ended tasks that are kept at most; the oldest go first. null: any number.",
        }),
      ),
    }),
    callers: CallersSection,
    tls: section("How other servers are asked: those behind GPUs, the hub, receivers of webhooks, the issuer.", {
      ca: Type.Optional(
        Type.String({
          minLength: 1,
          description:
            "Path of a PEM file with certificates of authorities of one's own, which are believed beside those of the system.",
        }),
      ),
    }),
    webhooks: WEBHOOKS,
    store: STORE,
    cluster: CLUSTER,
    usage: section("What tasks have cost, by hours; see docs/usage.md.", {
      retention: Type.Number({
        default: 34_560_000,
        minimum: 3600,
        maximum: LONGEST_SECONDS,
        description: "Seconds that an hour of it is kept; the default is 400 days.",
      }),
    }),
    audit: AUDIT,
    metrics: section("What Prometheus is told, at /metrics.", {
      enabled: Type.Boolean({ default: true, description: "Whether the server counts what it does." }),
      public: Type.Boolean({
        default: false,
        description:
          "Whether /metrics needs no credentials; no user is named there then. false: it needs those of an admin or a viewer.",
      }),
    }),
    log: section("The log, on standard error.", {
      level: Type.Enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"], {
        live: true,
        default: "info",
        description: "trace, debug, info, warn, error, fatal or silent.",
      }),
      requests: Type.Enum(["all", "errors", "none"], {
        live: true,
        default: "errors",
        description:
          "Which requests have a line at info. errors: those that were refused, failed or took unusually long. Never those of health checks and scrapes.",
      }),
    }),
  },
  { additionalProperties: false },
);

/** A checked configuration with every default filled in; frozen. */
export type Config = Static<typeof ConfigSchema>;
