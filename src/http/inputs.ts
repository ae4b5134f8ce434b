/** Makes what a task is asked of the fields of a submission, which have been checked one by one. */
import { AltLasError } from "../errors.ts";
import { NO_SAMPLING, type Request, SAMPLING_NAMES } from "../request.ts";
import { type TaskInput } from "../task.ts";
import { wasGiven } from "./given.ts";
import { messagesOf, refuseLonger } from "./schemas/messages.ts";
import { samplingOf } from "./schemas/sampling.ts";
import { type InputFields } from "./schemas/submissions.ts";

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
    // The type that stands for none is one of tasks that generate text.
    ...(request.kind === "embedding" && !wasGiven(fields, "task_type") && { anyModel: true }),
  };
}

function requestOf(fields: InputFields, maxBytes: number, index: number | null): Request {
  const { text, messages, input } = fields;
  if (text !== undefined && messages === undefined && input === undefined) return continued(text, fields);
  const where = index === null ? "" : `batch[${index}].`;
  refuseUnlessOne({ text, messages, input }, where);
  if (messages !== undefined) {
    return { kind: "chat", messages: messagesOf(messages, `${where}messages`, maxBytes), sampling: samplingOf(fields) };
  }
  const inputs = (typeof input === "string" ? [input] : (input ?? [])).map((one) => one.toWellFormed());
  refuseLonger(inputs, `${where}input`, maxBytes);
  return { kind: "embedding", inputs, sampling: NO_SAMPLING };
}

/** Fields that are none of a submission for vectors, and have a default. */
const OF_TEXT = ["max_length", "temperature"] as const;

/** Fields that were given and decide nothing, as a warning; null: there are none. */
export function warningOf(fields: InputFields): string | null {
  if (fields.text !== undefined) return null;
  const beside = fields.messages === undefined ? "input" : "messages";
  const given: string[] = fields.raw === undefined ? [] : ["raw"];
  if (beside === "input") {
    given.push(...OF_TEXT.filter((name) => wasGiven(fields, name)));
    given.push(...Object.values(SAMPLING_NAMES).filter((name) => asksFor(fields[name])));
  }
  if (given.length === 0) return null;
  return `${given.join(", ")} ${given.length === 1 ? "means" : "mean"} nothing beside ${beside}.`;
}

/** An empty list or object asks for as little as a field that is left out. */
function asksFor(value: unknown): boolean {
  return value !== undefined && (typeof value !== "object" || Object.keys(Object(value)).length > 0);
}

function continued(text: string, fields: InputFields): Request {
  // JSON can name half of a surrogate pair, which no encoding of Unicode can store.
  const whole = text.toWellFormed();
  const sampling = samplingOf(fields);
  return fields.raw === undefined
    ? { kind: "completion", text: whole, sampling }
    : { kind: "completion", text: whole, raw: fields.raw, sampling };
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
