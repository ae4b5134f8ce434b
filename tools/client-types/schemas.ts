/** What the clients know of the server's document: JSON Schemas by the names that programs use, for generators of types. */
import { ERRORS } from "../../src/errors.ts";

/** A JSON Schema, or a part of one. */
interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly [keyword: string]: unknown;
}
interface Content {
  readonly content?: Readonly<Record<string, { readonly schema: Schema }>>;
}
interface Operation {
  readonly parameters?: readonly {
    readonly in: string;
    readonly name: string;
    readonly description?: string;
    readonly schema: Schema;
  }[];
  readonly requestBody?: Content;
  readonly responses: Readonly<Record<string, Content>>;
}
/** `GET /openapi.json`. */
export interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

const API = "/api/v1";
/** How an answer comes is the business of the clients. */
const OF_CLIENTS = ["stream", "cancel_on_disconnect"];
/** Keywords that are no types: the configuration of a server may say otherwise, and a newer one may allow more. */
const NO_TYPES =
  /^(?:default|examples?|format|pattern|uniqueItems|title|x-.*|(?:min|max|exclusiveMin|exclusiveMax)(?:imum|Items|Length|Properties)|multipleOf)$/;
const REFERENCE = "#/components/schemas/";

/** @returns one schema, with the types in `$defs` */
export function clientSchemas(document: Document): object {
  const operation = (method: string, path: string): Operation => document.paths[API + path]![method]!;
  const { [REST]: items, ...batch } = bodyOf(operation("post", "/batch_predict")).properties!;
  const first: Record<string, Schema> = {
    ErrorCode: { description: "What the server says is wrong.", enum: Object.keys(ERRORS) },
    PredictRequest: without(bodyOf(operation("post", "/predict")), OF_CLIENTS),
    BatchItem: items!.items!,
    BatchRequest: {
      ...bodyOf(operation("post", "/batch_predict")),
      properties: { [REST]: { ...items, items: { $ref: `${REFERENCE}BatchItem` } }, ...batch },
    },
    SubmittedBatch: answerOf(operation("post", "/batch_predict")),
    BatchResult: {
      description: "A task of a batch that has ended, with its position in the batch.",
      allOf: [
        { $ref: `${REFERENCE}Task` },
        { type: "object", properties: { index: { type: "integer" } }, required: ["index"] },
      ],
    },
    TaskFilter: queryOf(operation("get", "/tasks")),
    TaskList: answerOf(operation("get", "/tasks")),
    StreamTicket: answerOf(operation("post", "/stream_ticket")),
  };
  const wanted = ["Task", "TaskSummary", "Batch", "Gpu", "ServedModel"];
  const types = new Map<string, unknown>();
  const add = (name: string, schema: Schema): void => {
    if (types.has(name)) return;
    types.set(name, null);
    const named = new Set<string>();
    types.set(name, typesOf(schema, named));
    for (const one of named) add(one, first[one] ?? document.components.schemas[one]!);
  };
  for (const [name, schema] of Object.entries(first)) add(name, schema);
  for (const name of wanted) add(name, document.components.schemas[name]!);
  return { $schema: "https://json-schema.org/draft/2020-12/schema", $defs: Object.fromEntries(types) };
}

/** The key of a batch's items. */
const REST = "batch";

function bodyOf({ requestBody }: Operation): Schema {
  return requestBody!.content!["application/json"]!.schema;
}

function answerOf({ responses }: Operation): Schema {
  return responses["200"]!.content!["application/json"]!.schema;
}

function queryOf({ parameters = [] }: Operation): Schema {
  const query = parameters.filter((parameter) => parameter.in === "query");
  return {
    type: "object",
    additionalProperties: false,
    properties: Object.fromEntries(
      query.map(({ name, description, schema }) => [
        name,
        { ...schema, ...(description !== undefined && { description }) },
      ]),
    ),
  };
}

function without({ properties, ...schema }: Schema, names: readonly string[]): Schema {
  return {
    ...schema,
    properties: Object.fromEntries(Object.entries(properties!).filter(([name]) => !names.includes(name))),
  };
}

/** A schema with nothing but types, and what describes them. @param named gets the names of the schemas that it refers to */
function typesOf(schema: unknown, named: Set<string>): unknown {
  if (Array.isArray(schema)) return schema.map((part) => typesOf(part, named));
  if (typeof schema !== "object" || schema === null) return schema;
  const kept = Object.entries(schema).filter(
    ([keyword, part]) => !NO_TYPES.test(keyword) && !(keyword === "additionalProperties" && part === false),
  );
  return Object.fromEntries(kept.map(([keyword, part]) => [keyword, partOf(keyword, part, named)]));
}

function partOf(keyword: string, part: unknown, named: Set<string>): unknown {
  if (keyword === "$ref") {
    const name = String(part).slice(REFERENCE.length);
    named.add(name);
    return `#/$defs/${name}`;
  }
  // Its keys are names of fields, which may be those of keywords.
  if (keyword === "properties")
    return Object.fromEntries(Object.entries(part as object).map(([name, field]) => [name, typesOf(field, named)]));
  return keyword === "enum" || keyword === "required" ? part : typesOf(part, named);
}
