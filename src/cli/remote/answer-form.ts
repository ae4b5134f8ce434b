/** The form asked of an answer beside a text: what `predict` sends of it, and what it tells of an answer that is something else. */
import { readFileSync } from "node:fs";
import type { TaskView } from "../../http/schemas/tasks.ts";
import { pathFault } from "../../common/file-words.ts";
import { AltLasError, messageOf } from "../../errors.ts";
import { shown } from "../../common/validation.ts";

export interface FormFlags {
  readonly jsonObject?: boolean;
  /** A file. */
  readonly schema?: string;
  readonly strict?: boolean;
  /** A file. */
  readonly tools?: string;
}

/**
 * The form that an answer must have, by the fields of the API that say it.
 * @throws {AltLasError} `bad_config`: a file is not there, or has something else in it
 */
export function formIn({ jsonObject, schema, strict, tools }: FormFlags): {
  readonly response_format?: object;
  readonly tools?: readonly unknown[];
} {
  return {
    ...(jsonObject === true && { response_format: { type: "json_object" } }),
    ...(schema !== undefined && {
      response_format: {
        type: "json_schema",
        json_schema: { name: "answer", schema: schemaIn(schema), ...(strict === true && { strict }) },
      },
    }),
    ...(tools !== undefined && { tools: toolsIn(tools) }),
  };
}

function schemaIn(file: string): object {
  const schema = jsonIn("--schema", file);
  if (typeof schema === "object" && schema !== null && !Array.isArray(schema)) return schema;
  throw refused("--schema", file, `it must be a JSON schema, which is an object; it has ${shown(schema)}.`);
}

/** Of one tool or several; the server says what is wrong with one. */
function toolsIn(file: string): readonly unknown[] {
  const tools = jsonIn("--tools", file);
  if (typeof tools === "object" && tools !== null) return Array.isArray(tools) ? tools : [tools];
  throw refused("--tools", file, `it must be a list of tools, or one, which is an object; it has ${shown(tools)}.`);
}

function jsonIn(flag: string, file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw refused(flag, file, whyUnread(error), error);
  }
}

function refused(flag: string, file: string, why: string, cause?: unknown): AltLasError {
  return new AltLasError("bad_config", `${flag} ${file}: ${why}`, { cause });
}

function whyUnread(error: unknown): string {
  if (error instanceof SyntaxError) return `it is no JSON: ${messageOf(error)}`;
  return `${pathFault(error)}.`;
}

/**
 * Why a program cannot read the answer of a task as the form that was asked for.
 * @param request as the API takes it and shows it @param more what gives an answer more tokens
 * @returns a sentence; null: it can, as far as the request tells
 */
export function unfitness(request: object, { result }: Pick<TaskView, "result">, more: string): string | null {
  if (result === undefined) return null;
  const {
    text,
    mismatch,
    finish_reason,
    usage: { completion_tokens: n },
  } = result;
  if (mismatch !== undefined) return mismatch;
  const { response_format: format } = request as { response_format?: unknown };
  if (format === undefined || finish_reason !== "length" || isWhole(text)) return null;
  return `The answer was cut at ${n} ${n === 1 ? "token" : "tokens"}, and is no whole JSON: ${more} gives it more.`;
}

/** Whether the last token that it was given was the one that ended it. A number could always go on. */
function isWhole(json: string): boolean {
  try {
    return typeof JSON.parse(json) !== "number";
  } catch {
    return false;
  }
}
