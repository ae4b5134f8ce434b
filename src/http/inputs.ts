/** Makes what a task is asked of the fields of a submission, which have been checked one by one. */
import { AltLasError } from "../errors.ts";
import { type ChatRequest, type CompletionRequest, NO_SAMPLING, type Request, SAMPLING_NAMES } from "../request.ts";
import type { TaskInput } from "../task.ts";
import { formatOf, toolsOf } from "./forms.ts";
import { wasGiven } from "./given.ts";
import { messagesOf, refuseLonger } from "./schemas/messages.ts";
import { samplingOf } from "./schemas/sampling.ts";
import type { InputFields } from "./schemas/submissions.ts";

/**
 * @param maxBytes of its content in UTF-8
 * @param index its position in a batch; null: it is in none
 * @throws {AltLasError} `invalid_input`, `unsupported`: its fields do not go together, or it has too much of something
 */
export function inputOf(fields: InputFields, maxBytes: number, index: number | null): TaskInput {
  const request = requestOf(fields, maxBytes, index);
  return {
    request,
    taskType: fields.task_type.toWellFormed(),
    priority: fields.priority,
    timeoutSeconds: fields.timeout_seconds ?? null,
    model: fields.model === undefined ? null : fields.model.toWellFormed(),
    ...(fields.store === false && UNSTORED),
    // The type that stands for none is one of tasks that generate text.
    ...(request.kind === "embedding" && !wasGiven(fields, "task_type") && { anyModel: true }),
  };
}

/** The setting that `"store": false` asks for; true asks for nothing: the configuration may be stricter. */
export const UNSTORED = { texts: "never" } as const;

function requestOf(fields: InputFields, maxBytes: number, index: number | null): Request {
  const { text, messages, input } = fields;
  const where = index === null ? "" : `batch[${index}].`;
  if (text !== undefined && messages === undefined && input === undefined) return continued(text, fields, where);
  refuseUnlessOne({ text, messages, input }, where);
  if (messages !== undefined) {
    const wanted = wantedOf(fields, where);
    const tools = toolsOf(fields, where);
    const conversation = messagesOf(messages, `${where}messages`, maxBytes);
    return chatOf(conversation, wanted, tools, fields);
  }
  const inputs = (typeof input === "string" ? [input] : (input ?? [])).map((one) => one.toWellFormed());
  refuseLonger(inputs, `${where}input`, maxBytes);
  return { kind: "embedding", inputs, sampling: NO_SAMPLING };
}

/** Fields that are none of a submission for vectors, and have a default. */
const OF_TEXT = ["max_length", "temperature"] as const;

/** Others, beside the sampling and the form. */
const OF_ANSWERS = ["tools", "logprobs"] as const;

/** Fields that were given and decide nothing, as a warning; null: there are none. */
export function warningOf(fields: InputFields): string | null {
  if (fields.text !== undefined) return null;
  const beside = fields.messages === undefined ? "input" : "messages";
  const given: string[] = fields.raw === undefined ? [] : ["raw"];
  if (beside === "input") {
    given.push(...OF_TEXT.filter((name) => wasGiven(fields, name)));
    given.push(...Object.values(SAMPLING_NAMES).filter((name) => asksFor(fields[name])));
    if ((fields.response_format?.type ?? "text") !== "text") given.push("response_format");
    given.push(...OF_ANSWERS.filter((name) => asksFor(fields[name])));
  }
  if (given.length === 0) return null;
  const names = given.join(", ");
  return given.length === 1 ? `${names} means nothing beside ${beside}.` : `${names} mean nothing beside ${beside}.`;
}

/** An empty list or object asks for as little as a field that is left out. */
function asksFor(value: unknown): boolean {
  return value !== undefined && (typeof value !== "object" || Object.keys(Object(value)).length > 0);
}

type Wanted = Pick<CompletionRequest, "format" | "logprobs">;

/** The demands of most requests beside a text. */
const NOTHING: Wanted = {};

function wantedOf({ response_format, logprobs }: InputFields, where: string): Wanted {
  if (response_format === undefined && logprobs === undefined) return NOTHING;
  const format = formatOf(response_format, where);
  // Adding 0 makes 0 of -0.
  return { ...(format && { format }), ...(logprobs !== undefined && { logprobs: logprobs + 0 }) };
}

function continued(text: string, fields: InputFields, where: string): Request {
  // JSON can name half of a surrogate pair, which no encoding of Unicode can store.
  const whole = text.toWellFormed();
  const { raw } = fields;
  const wanted = wantedOf(fields, where);
  const tools = toolsOf(fields, where);
  if (tools !== undefined) {
    // Tools are told of by a chat template.
    if (raw !== true) return chatOf([{ role: "user", content: whole }], wanted, tools, fields);
    const sentence = `${where}raw cannot be true beside tools, which a model is told of by its chat template.`;
    throw new AltLasError("invalid_input", sentence, { param: `${where}raw` });
  }
  const sampling = samplingOf(fields);
  if (wanted === NOTHING && raw === undefined) return { kind: "completion", text: whole, sampling };
  return { kind: "completion", text: whole, ...(raw !== undefined && { raw }), ...wanted, sampling };
}

function chatOf(
  messages: ChatRequest["messages"],
  wanted: Wanted,
  tools: ChatRequest["tools"],
  fields: InputFields,
): ChatRequest {
  return { kind: "chat", messages, ...wanted, ...(tools && { tools }), sampling: samplingOf(fields) };
}

function refuseUnlessOne(asked: Pick<InputFields, "text" | "messages" | "input">, where: string): void {
  const [first, second] = Object.entries(asked)
    .filter(([, value]) => value !== undefined)
    .map(([name]) => name);
  if (first === undefined) {
    const sentence = `${where}text is missing; it must be a string that is not empty, or messages or input must be given.`;
    throw new AltLasError("invalid_input", sentence, { param: `${where}text` });
  }
  if (second === undefined) return;
  const sentence = `${where}${second} must not be given beside ${first}: exactly one of text, messages and input must be.`;
  throw new AltLasError("invalid_input", sentence, { param: `${where}${second}` });
}
