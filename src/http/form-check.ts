/** Looks at the schemas of a submission before it becomes tasks: what no grammar can say is refused, or warned of. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { AltLasError } from "../errors.ts";
import type { Verdict } from "../forms/messages.ts";
import type { Inexact } from "../grammar/expansion.ts";
import { Verdicts } from "../forms/verdicts.ts";
import { type AnswerFormat, argumentsSchema, type JsonSchema, type Request } from "../request.ts";
import type { TaskInput } from "../task.ts";
import type { ServerParts } from "./server-parts.ts";
import { warn } from "./warnings.ts";

/** Places that a sentence names. */
const MOST_PLACES = 3;

/** A schema of a submission. */
interface Asked {
  /** How its client calls it. */
  readonly field: string;
  readonly schema: JsonSchema;
  /** Whether it is about the arguments of a tool. */
  readonly ofArguments: boolean;
  readonly isStrict: boolean;
  /** Says what becomes of demands that cannot be made sure of: where nothing is strict, and what would without `strict`. */
  readonly otherwise: typeof CHECKED;
}

const CHECKED = {
  loose: "It is checked when the answer is there.",
  strict: "Without strict it is checked when the answer is there.",
};
const NOT_CHECKED = {
  loose: "The arguments of a call may be others.",
  strict: "Without strict the arguments of a call may be others.",
};
const IDLE = "response_format does nothing here: tool_choice asks for a call, and a call has no text beside it.";

export interface SubmittedBy {
  readonly user: string;
  readonly inBatch: boolean;
  /** Of the schemas of all tasks together, as JSON in UTF-8. */
  readonly maxBytes: number;
}

/** One for the process: the same schema comes to the same, whoever sends it. */
const verdicts = new Verdicts();

/** Whether there may be a schema: most submissions have none, and are not to wait for anything. */
export function mayHaveSchemas(inputs: readonly TaskInput[]): boolean {
  return inputs.some(
    ({ request }) =>
      request.kind !== "embedding" &&
      (request.format !== undefined || (request.kind === "chat" && request.tools !== undefined)),
  );
}

/**
 * Warns of what is made sure of only when the answer is there.
 * @param inBatch whether fields are those of the items of a batch
 * @throws {AltLasError} as `checkSchemas`
 */
export async function tellOfSchemas(
  { live }: Pick<ServerParts, "live">,
  { caller }: FastifyRequest,
  reply: FastifyReply,
  inputs: readonly TaskInput[],
  inBatch = false,
): Promise<void> {
  const maxBytes = live.config.limits.max_body_bytes;
  warn(reply, await checkSchemas(inputs, { user: caller.name, inBatch, maxBytes }));
}

/**
 * @returns what is made sure of only when the answer is there, as sentences
 * @throws {AltLasError} `invalid_input`: a schema cannot be used, or they are too large together; `unsupported`: a strict one cannot be kept to
 */
export async function checkSchemas(inputs: readonly TaskInput[], by: SubmittedBy): Promise<readonly string[]> {
  const warnings: string[] = [];
  /** Bytes of those that were looked at: what stands beside a batch is one value in all items. */
  const sizes = new Map<JsonSchema, number>();
  const idle = new Set<AnswerFormat>();
  let bytes = 0;
  for (const [index, { request }] of inputs.entries()) {
    const where = by.inBatch ? `batch[${index}].` : "";
    const format = idleFormat(request);
    if (format !== null && !idle.has(format)) warnings.push(`${where}${IDLE}`);
    if (format !== null) idle.add(format);
    for (const asked of schemasOf(request, where)) {
      let size = sizes.get(asked.schema);
      if (size === undefined) {
        const json = JSON.stringify(asked.ofArguments ? argumentsSchema(asked.schema) : asked.schema);
        sizes.set(asked.schema, (size = Buffer.byteLength(json)));
        warnings.push(...warningsOf(asked, await verdicts.of(json, by.user)));
      }
      bytes += size;
      if (bytes > by.maxBytes) throw tooMuch(by);
    }
  }
  return warnings;
}

function* schemasOf(request: Request, where: string): Iterable<Asked> {
  if (request.kind === "embedding") return;
  const { format } = request;
  if (format?.kind === "schema") {
    const { schema, strict } = format;
    yield {
      field: `${where}response_format.json_schema.schema`,
      schema,
      ofArguments: false,
      isStrict: strict,
      otherwise: CHECKED,
    };
  }
  if (request.kind !== "chat" || request.tools === undefined) return;
  for (const [index, { parameters, strict = false }] of request.tools.list.entries()) {
    if (parameters === undefined) continue;
    yield {
      field: `${where}tools[${index}].function.parameters`,
      schema: parameters,
      ofArguments: true,
      isStrict: strict,
      otherwise: NOT_CHECKED,
    };
  }
}

/** A form that comes to nothing, as the model has to call a tool; null: there is none. */
function idleFormat(request: Request): AnswerFormat | null {
  if (request.kind !== "chat" || request.tools === undefined || request.tools.choice === "auto") return null;
  return request.format ?? null;
}

/** @throws {AltLasError} it cannot be used */
function warningsOf(asked: Asked, verdict: Verdict): readonly string[] {
  const { field } = asked;
  if (!verdict.fits) {
    const { pointer, why } = verdict;
    throw new AltLasError("invalid_input", `${placeIn(field, pointer)} cannot be used: ${why}`, {
      param: field,
    });
  }
  const loose = loosenessOf(asked, verdict.inexact);
  const notes = verdict.notes.slice(0, MOST_PLACES);
  const sentences = notes.map(({ pointer, why }) => `${placeIn(field, pointer)}: ${why}`);
  return loose === null ? sentences : [loose, ...sentences];
}

/** @throws {AltLasError} it is strict */
function loosenessOf({ field, isStrict, otherwise }: Asked, inexact: readonly Inexact[]): string | null {
  const [first, ...others] = inexact;
  if (first === undefined) return null;
  const also = others.slice(0, MOST_PLACES - 1).map(({ pointer }) => pointer);
  const what = `${placeIn(field, first.pointer)} cannot be made sure of: ${first.why}`;
  const elsewhere = also.length === 0 ? "" : ` The same holds at ${also.join(", ")}.`;
  if (!isStrict) return `${what}${elsewhere} ${otherwise.loose}`;
  throw new AltLasError("unsupported", `${what}${elsewhere} ${otherwise.strict}`, { param: field });
}

function placeIn(field: string, pointer: string): string {
  return pointer === "" ? field : `${field} at ${pointer}`;
}

function tooMuch({ inBatch, maxBytes }: SubmittedBy): AltLasError {
  const sentence = `The schemas of all tasks together must be at most ${maxBytes} bytes as JSON (limits.max_body_bytes).`;
  return new AltLasError("invalid_input", sentence, { param: inBatch ? "batch" : "n" });
}
