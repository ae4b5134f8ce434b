/**
 * Requests and answers as they go over the wire. From these files come the checks, the TypeScript types and the OpenAPI document.
 * Here is what the others are made of.
 */
import { Type, type Static, type TSchema, type TSchemaOptions } from "../../common/type.ts";

/** Seconds a request may be held at most. */
export const MAX_WAIT = 300;
const MAX_TASK_TYPE_BYTES = 256;

export const ID_EXAMPLE = "123e4567-e89b-12d3-a456-426614174000";
export const BATCH_ID_EXAMPLE = "0198939b-4a2e-7b6e-8a51-0c4d1f2e3a4b";
export const TIME_EXAMPLE = "2025-08-10T12:34:56.789Z";

/** A field with a default may be left out by clients; after the checks it is always there. */
export function closed<Properties extends Record<string, TSchema>>(
  properties: Properties,
  options: TSchemaOptions = {},
) {
  return Type.Object(properties, { ...options, additionalProperties: false });
}

export function oneOf<const Values extends string[]>(values: readonly [...Values], options: TSchemaOptions = {}) {
  return Type.Enum(values, { ...options, type: "string" });
}

// A list of types, not a union: fast-json-stringify would run a validator to choose a union's branch.
export function orNull<T>(type: "integer" | "number" | "string" | "boolean", options: TSchemaOptions = {}) {
  return Type.Unsafe<T | null>({ ...options, type: [type, "null"] });
}

/** Refers to a schema that the document names, so that generated clients have types with names. */
export function shared<T extends TSchema>(schema: T & { $id?: string }) {
  return Type.Unsafe<Static<T>>({ $ref: `${schema.$id}#` });
}

export const Time = (description: string) =>
  Type.String({ format: "date-time", description, examples: [TIME_EXAMPLE] });
export const TimeOrNull = (description: string) => orNull<string>("string", { format: "date-time", description });
export const TaskId = Type.String({ format: "uuid", examples: [ID_EXAMPLE] });
export const GpuId = (description: string) => orNull<number>("integer", { description });

/** An id that a client sends elsewhere than in the path. */
export function Uuid(description: string) {
  return Type.String({
    pattern: "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
    allowed: "a UUID",
    description,
    examples: [BATCH_ID_EXAMPLE],
  });
}

export function TaskType(options: TSchemaOptions & { description: string }) {
  const description = `${options.description}; at most ${MAX_TASK_TYPE_BYTES} bytes.`;
  return Type.String({ ...options, maxBytes: MAX_TASK_TYPE_BYTES, description });
}

export const NoQuery = closed({});
/** A default, so that the body itself may be left out. */
export const EmptyRequest = closed({}, { title: "EmptyRequest", default: {}, examples: [{}] });

export const Failure = Type.Object(
  {
    error: Type.String({ description: "A sentence a person can act on." }),
    code: Type.String({ description: "A stable name for this kind of failure." }),
    status: Type.Optional(Type.String({ description: "Of a conflict: the status that stands in the way." })),
  },
  {
    $id: "Error",
    examples: [{ error: "text is missing; it must be a string that is not empty.", code: "invalid_input" }],
  },
);
export type Failure = Static<typeof Failure>;
export const FailureRef = shared(Failure);
