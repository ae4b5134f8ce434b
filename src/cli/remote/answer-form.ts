/** The form that an answer was asked to have: what `predict` sends of it, and what it tells of an answer that has another. */
import { readFileSync } from "node:fs";
import { type TaskView } from "../../http/schemas/tasks.ts";
import { AltLasError, messageOf } from "../../errors.ts";
import { shown } from "../../common/validation.ts";

/**
 * The form that the answer must have, as the API takes it; undefined: any.
 * @param flags `schema` names a file
 * @throws {AltLasError} `bad_config`: there is no such file, or no schema in it
 */
export function formatIn({ jsonObject, schema: file }: { jsonObject?: boolean; schema?: string }): object | undefined {
  if (file === undefined) return jsonObject === true ? { type: "json_object" } : undefined;
  return { type: "json_schema", json_schema: { name: "answer", schema: schemaIn(file) } };
}

function schemaIn(file: string): object {
  const refused = (why: string, cause?: unknown): AltLasError =>
    new AltLasError("bad_config", `--schema ${file}: ${why}`, { cause });
  const schema = ((): unknown => {
    try {
      return JSON.parse(readFileSync(file, "utf8"));
    } catch (error) {
      throw refused(whyUnread(error), error);
    }
  })();
  if (typeof schema === "object" && schema !== null && !Array.isArray(schema)) return schema;
  throw refused(`it must be a JSON schema, which is an object; it has ${shown(schema)}.`);
}

function whyUnread(error: unknown): string {
  if (error instanceof SyntaxError) return `it is no JSON: ${messageOf(error)}`;
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT") return "there is no such file.";
  if (code === "EISDIR") return "it is a folder.";
  return messageOf(error);
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
