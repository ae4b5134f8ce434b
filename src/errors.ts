/**
 * Every failure a client or operator can meet: its stable code, its HTTP status and what it means.
 * The sentence itself is written where the failure happens, because only that place knows the values.
 */
export const ERRORS = {
  invalid_input: { status: 400, meaning: "a field is missing, unknown, of the wrong type or out of range" },
  model_not_found: {
    status: 400,
    meaning: "no model has that name; the sentence lists the known ones (under /v1 a 404)",
  },
  unsupported: {
    status: 400,
    meaning:
      "no model or engine that the task may go to can do what a field asks for, or a strict schema cannot be made sure of; the sentence says which",
  },
  malformed_json: { status: 400, meaning: "the body is not JSON" },
  unauthorized: { status: 401, meaning: "no credentials, or wrong ones" },
  forbidden: { status: 403, meaning: "the caller's role does not allow this, or a foreign web page asks for it" },
  not_found: { status: 404, meaning: "no such route, task, file or GPU, or a task or file of somebody else" },
  text_gone: {
    status: 410,
    meaning: "the text is not stored any more, or never was: store.texts, or `store: false` of the request",
  },
  method_not_allowed: { status: 405, meaning: "the route exists, but not with this method" },
  request_timeout: { status: 408, meaning: "the request did not arrive in time" },
  conflict: { status: 409, meaning: "the state of the resource does not allow this" },
  body_too_large: {
    status: 413,
    meaning: "the body is over limits.max_body_bytes, or a file over limits.max_file_bytes",
  },
  unsupported_media_type: {
    status: 415,
    meaning: "the body is not declared as application/json (a file: as multipart/form-data), or is compressed",
  },
  expectation_failed: { status: 417, meaning: "the Expect header asks for something else than 100-continue" },
  rate_limited: { status: 429, meaning: "the caller is over a limit of its own; see Retry-After" },
  budget_exceeded: {
    status: 429,
    meaning:
      "a budget of the caller, its team or its key is used up; the sentence says until when, and so does Retry-After",
  },
  headers_too_large: { status: 431, meaning: "the request's headers are too large" },
  internal_error: {
    status: 500,
    meaning: "a bug, or nobody knows whether it was done; the sentence gives the request id",
  },
  queue_full: { status: 503, meaning: "the queue is at its limit; see Retry-After" },
  overloaded: { status: 503, meaning: "the requests under way take all the memory there is for them; see Retry-After" },
  files_full: {
    status: 503,
    meaning: "the stored files take all the room of limits.max_stored_file_bytes; see Retry-After",
  },
  draining: { status: 503, meaning: "the server is stopping; see Retry-After" },
  not_ready: { status: 503, meaning: "a task sent now could not finish; see Retry-After" },
  no_usable_gpu: {
    status: 503,
    meaning: "no GPU could ever run this task, or none came up that a new task waited for; the sentence says why",
  },
  issuer_unavailable: {
    status: 503,
    meaning: "the issuer of a token does not answer, and its keys are not known yet; see Retry-After",
  },
  store_unavailable: { status: 503, meaning: "the task or file could not be written to disk" },
  bad_config: { status: 500, meaning: "the configuration or the command line is wrong" },
  gpu_lost: { status: 500, meaning: "the GPUs that ran the task failed too often" },
  worker_crash: { status: 500, meaning: "the worker processes running the task died too often" },
  poison: { status: 500, meaning: "the task killed its worker process twice while it ran there alone" },
  timeout: { status: 500, meaning: "the task was not done by its deadline, or waited too long in the queue" },
  out_of_memory: { status: 500, meaning: "the GPU had no memory left for the task" },
  model_fetch_failed: { status: 502, meaning: "a model could not be fetched; the sentence says why, and what to do" },
  model_error: {
    status: 500,
    meaning: "the model could not be loaded, could not generate, or gave no answer of a strict form",
  },
  model_too_large: { status: 400, meaning: "no GPU has memory for the model, even with everything else unloaded" },
  prompt_too_long: { status: 400, meaning: "the prompt leaves no room for a single token in the context" },
} as const;

/** A stable name for one kind of failure. */
export type ErrorCode = keyof typeof ERRORS;

/** A failure with a code, a status and a sentence that a person can act on. */
export class AltLasError extends Error {
  readonly code: ErrorCode;
  /** Seconds after which trying again makes sense; sent as `Retry-After`. */
  readonly retryAfter: number | undefined;
  /** The field of the request that is at fault, like `messages[0].content`; null: none, or the sentence alone names it. */
  readonly param: string | null;
  /** Sent beside the sentence: of a `conflict`, the status that stands in the way. */
  readonly details: Readonly<Record<string, string>>;

  constructor(
    code: ErrorCode,
    sentence: string,
    options: {
      retryAfter?: number;
      param?: string;
      details?: Readonly<Record<string, string>>;
      cause?: unknown;
    } = {},
  ) {
    super(sentence, { cause: options.cause });
    this.name = "AltLasError";
    this.code = code;
    this.retryAfter = options.retryAfter;
    this.param = options.param ?? null;
    this.details = options.details ?? {};
  }

  /** The HTTP status this failure is answered with. */
  get status(): number {
    return ERRORS[this.code].status;
  }
}

/** The message of any thrown value, without its stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
