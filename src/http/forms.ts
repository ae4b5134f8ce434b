/** Makes of the fields of a request what its answer has to be. Each field has been checked by itself. */
import { AltLasError } from "../errors.ts";
import type { AnswerFormat, JsonSchema, Tool, ToolChoice, Tools } from "../request.ts";
import { shown } from "../common/validation.ts";
import { refuseUnfitJson } from "./given-json.ts";
import { type GivenForm, type GivenFormat, type GivenTool, UNNAMED } from "./schemas/forms.ts";

/** Bytes of a schema, and of all tools together, as JSON. */
export const MAX_FORM_BYTES = 256 * 1024;

/** By what was given: what stands beside a batch is the same value in all its items. */
const formats = new WeakMap<GivenFormat, AnswerFormat>();

/**
 * @param where the item of a batch, as in "batch[3]."; else ""
 * @returns undefined: any text will do
 * @throws {AltLasError} `invalid_input`
 */
export function formatOf(given: GivenFormat | undefined, where: string): AnswerFormat | undefined {
  if (given === undefined) return undefined;
  const format = formats.get(given) ?? madeFormat(given, where);
  if (format !== undefined) formats.set(given, format);
  return format;
}

function madeFormat(given: GivenFormat, where: string): AnswerFormat | undefined {
  const field = `${where}response_format`;
  const { type, json_schema: named } = given;
  if (type !== "json_schema") {
    if (named === undefined) return type === "text" ? undefined : { kind: "json" };
    throw refused(`${field}.json_schema`, `must not be given beside the type ${shown(type)}`);
  }
  if (named === undefined) throw refused(`${field}.json_schema`, "is missing; it must be an object with schema");
  const { name = UNNAMED, description, schema, strict = false } = named;
  refuseUnfitJson(schema, `${field}.json_schema.schema`, MAX_FORM_BYTES);
  return { kind: "schema", name, schema: described(schema, description), strict };
}

/** Where a model would read what a schema is for. */
function described(schema: JsonSchema, description: string | undefined): JsonSchema {
  if (description === undefined || typeof schema === "boolean" || schema["description"] !== undefined) return schema;
  return { ...schema, description: description.toWellFormed() };
}

type ToolFields = Pick<GivenForm, "tools" | "tool_choice" | "parallel_tool_calls">;

/**
 * @param where the item of a batch, as in "batch[3]."; else ""
 * @returns undefined: the model is told of no tools
 * @throws {AltLasError} `invalid_input`, `unsupported`
 */
export function toolsOf(fields: ToolFields, where: string): Tools | undefined {
  const { tools = [], tool_choice: choice = "auto", parallel_tool_calls: parallel = true } = fields;
  const list = tools.length === 0 ? NO_TOOLS : listOf(tools, where);
  const chosen = choiceOf(choice, list, `${where}tool_choice`);
  return list.length === 0 || chosen === "none" ? undefined : { list, choice: chosen, parallel };
}

const NO_TOOLS: readonly Tool[] = [];

/** By what was given: what stands beside a batch is the same value in all its items. */
const lists = new WeakMap<readonly GivenTool[], readonly Tool[]>();

function listOf(tools: readonly GivenTool[], where: string): readonly Tool[] {
  const known = lists.get(tools);
  if (known !== undefined) return known;
  const names = new Set<string>();
  const list = tools.map((tool, index) => toolOf(tool, `${where}tools[${index}]`, names));
  refuseUnfitJson(list, `${where}tools`, MAX_FORM_BYTES);
  lists.set(tools, list);
  return list;
}

/** @param names of the tools before it */
function toolOf({ type, function: given }: GivenTool, field: string, names: Set<string>): Tool {
  if (type !== undefined && type !== "function") {
    const sentence = `${field} is a tool of the type ${shown(type)}, which no model here can call; allowed are tools of the type "function".`;
    throw new AltLasError("unsupported", sentence, { param: field });
  }
  if (given === undefined) throw refused(`${field}.function`, "is missing; it must be an object with name");
  const { name, description, parameters, strict } = given;
  if (names.has(name))
    throw refused(`${field}.function.name`, `is ${shown(name)} again; each tool must have a name of its own`);
  names.add(name);
  if (parameters !== undefined) refuseUnlessOfObject(parameters, `${field}.function.parameters`);
  return {
    name,
    ...(description !== undefined && { description: description.toWellFormed() }),
    ...(parameters !== undefined && { parameters }),
    ...(strict !== undefined && { strict }),
  };
}

/** Arguments are always an object. */
function refuseUnlessOfObject({ type }: { readonly [keyword: string]: unknown }, field: string): void {
  if (type === undefined || type === "object" || (Array.isArray(type) && type.includes("object"))) return;
  throw refused(`${field}.type`, `must be "object", as the arguments of a tool are one; got ${shown(type)}`);
}

function choiceOf(
  choice: NonNullable<ToolFields["tool_choice"]>,
  list: readonly Tool[],
  field: string,
): ToolChoice | "none" {
  if (choice === "none" || choice === "auto") return choice;
  if (list.length === 0) {
    const what = choice === "required" ? "a call of a tool" : `a call of ${shown(choice.function.name)}`;
    throw refused(field, `asks for ${what}, and there are no tools`);
  }
  if (choice === "required") return choice;
  const { name } = choice.function;
  if (list.some((tool) => tool.name === name)) return { name };
  const known = list.map((tool) => JSON.stringify(tool.name)).join(", ");
  throw refused(`${field}.function.name`, `must be the name of one of the tools (${known}); got ${shown(name)}`);
}

/** @param why without its first word, which is the field, and without its full stop */
function refused(field: string, why: string): AltLasError {
  return new AltLasError("invalid_input", `${field} ${why}.`, { param: field });
}
