/**
 * A client of ALT_LAS:
 *
 *     const client = new AltLas({ apiKey: process.env.ALT_LAS_API_KEY });
 *     const task = await client.predictAndWait({ text: "Once upon a time", max_length: 48 });
 */
export {
  AltLas,
  type AltLasOptions,
  type BatchOptions,
  type CallOptions,
  type FollowOptions,
  type Progress,
  type SubmitOptions,
} from "./client.ts";
export { AltLasError, type ClientErrorCode, type Code, TaskError } from "./errors.ts";
export { OLDEST_SERVER } from "./transport.ts";
export type {
  Batch,
  BatchItem,
  BatchRequest,
  BatchResult,
  EndEvent,
  ErrorCode,
  Gpu,
  ServedModel,
  PlacedEvent,
  PredictRequest,
  StreamTicket,
  SubmittedBatch,
  TaskSummary,
  Task,
  TaskEvent,
  TaskFilter,
  TaskList,
  TokenEvent,
} from "./types.ts";
export { verifyWebhook, type VerifyOptions, type Webhook, type WebhookHeaders } from "./webhooks.ts";
