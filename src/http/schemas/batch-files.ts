/** Batches of OpenAI's API: lines of a file. */
import { hexOf } from "../../common/uuid.ts";
import { Type, type Static } from "../../common/type.ts";
import { MOST_LINES } from "../../batch-files/check.ts";
import { PRIORITIES } from "../../task.ts";
import { closed, ID_EXAMPLE, oneOf, orNull, shared } from "./common.ts";
import { FILE_ID_EXAMPLE } from "./files.ts";
import { pageSchema } from "./openai-shared.ts";

/** The paths that lines may name. */
export const BATCH_ENDPOINTS = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"] as const;

/** Batches in one list. */
export const MOST_BATCHES = 100;
/** As OpenAI has it. */
const MOST_METADATA = 16;
const LONGEST_VALUE = 512;
/** Seconds: as long as a file may be kept. */
const LONGEST_LIFETIME = 315_360_000;

const BATCH_ID_EXAMPLE = `batch_${hexOf(ID_EXAMPLE)}`;

/** Like `24h`. Longer than two weeks is no wish for a batch. */
export const WINDOW = "^([1-9][0-9]{0,4})(m|h|d)$";

export const BatchFileBody = Type.Object(
  {
    input_file_id: Type.String({
      description: `A file of up to ${MOST_LINES} lines; each is a JSON object with a custom_id of its own, the method POST, the url of the endpoint, and the body of a request.`,
    }),
    endpoint: oneOf(BATCH_ENDPOINTS, { description: "What all lines ask." }),
    completion_window: Type.String({
      pattern: WINDOW,
      allowed: 'a number of minutes, hours or days like "90m", "24h" or "7d", of two weeks at most',
      description: "What has not ended by then expires.",
    }),
    priority: oneOf(PRIORITIES, {
      default: "low",
      description: "Among the caller's own tasks, of lines whose bodies have none.",
    }),
    metadata: Type.Optional(
      Type.Record(Type.String({ maxLength: 64 }), Type.String({ maxLength: LONGEST_VALUE }), {
        maxProperties: MOST_METADATA,
        allowed: `an object of at most ${MOST_METADATA} texts`,
        description: "Shown with the batch.",
      }),
    ),
    output_expires_after: Type.Optional(
      closed({
        anchor: oneOf(["created_at"]),
        seconds: Type.Integer({
          minimum: 1,
          maximum: LONGEST_LIFETIME,
          description:
            "Seconds after the end of the batch for which its results can be read, while its tasks are kept.",
        }),
      }),
    ),
  },
  {
    title: "BatchRequest",
    examples: [{ input_file_id: FILE_ID_EXAMPLE, endpoint: "/v1/chat/completions", completion_window: "24h" }],
  },
);
export type BatchFileBody = Static<typeof BatchFileBody>;

const STATUSES = [
  "validating",
  "failed",
  "in_progress",
  "finalizing",
  "completed",
  "expired",
  "cancelling",
  "cancelled",
] as const;
export type BatchFileStatus = (typeof STATUSES)[number];

/** Unix seconds; null: that has not happened. */
const Moment = orNull<number>("integer", { description: "Unix seconds." });
const TextOrNull = orNull<string>("string");

const BatchError = Type.Object({
  code: Type.String(),
  line: orNull<number>("integer", { description: "From 1." }),
  message: Type.String(),
  param: TextOrNull,
});

export const BatchFileView = Type.Object(
  {
    id: Type.String(),
    object: oneOf(["batch"]),
    endpoint: Type.String(),
    errors: Type.Unsafe<{ object: "list"; data: Static<typeof BatchError>[] } | null>({
      type: ["object", "null"],
      properties: { object: oneOf(["list"]), data: Type.Array(BatchError) },
      required: ["object", "data"],
      description: "Why the file is no batch, line by line.",
    }),
    input_file_id: Type.String(),
    completion_window: Type.String(),
    status: oneOf(STATUSES),
    output_file_id: orNull<string>("string", {
      description: "Once one line has a result; it can be read while the batch runs.",
    }),
    error_file_id: orNull<string>("string", { description: "Once one line has failed." }),
    created_at: Type.Integer({ description: "Unix seconds." }),
    in_progress_at: Moment,
    expires_at: Type.Integer({ description: "Unix seconds: when the completion window is over." }),
    finalizing_at: Moment,
    completed_at: Moment,
    failed_at: Moment,
    expired_at: Moment,
    cancelling_at: Moment,
    cancelled_at: Moment,
    request_counts: Type.Object({ total: Type.Integer(), completed: Type.Integer(), failed: Type.Integer() }),
    metadata: Type.Unsafe<Readonly<Record<string, string>> | null>({
      type: ["object", "null"],
      additionalProperties: { type: "string" },
    }),
  },
  {
    $id: "BatchOfFile",
    examples: [
      {
        id: BATCH_ID_EXAMPLE,
        object: "batch",
        endpoint: "/v1/chat/completions",
        errors: null,
        input_file_id: FILE_ID_EXAMPLE,
        completion_window: "24h",
        status: "in_progress",
        output_file_id: null,
        error_file_id: null,
        created_at: 1_754_829_296,
        in_progress_at: 1_754_829_297,
        expires_at: 1_754_915_696,
        finalizing_at: null,
        completed_at: null,
        failed_at: null,
        expired_at: null,
        cancelling_at: null,
        cancelled_at: null,
        request_counts: { total: 3, completed: 0, failed: 0 },
        metadata: null,
      },
    ],
  },
);
export type BatchFileView = Static<typeof BatchFileView>;
export const BatchFileRef = shared(BatchFileView);

export const BatchFilesAnswer = pageSchema(BatchFileRef);

export const BatchFileParams = Type.Object({ batch_id: Type.String({ examples: [BATCH_ID_EXAMPLE] }) });

export const BatchFilesQuery = closed({
  after: Type.Optional(Type.String({ description: "Only batches older than this one." })),
  limit: Type.Integer({ default: 20, minimum: 1, maximum: MOST_BATCHES }),
});
export type BatchFilesQuery = Static<typeof BatchFilesQuery>;
