/** The lab's own format: what `alt-las lab make` and `alt-las lab export` write. */
import { PRIORITIES, type Priority } from "../../task.ts";
import { cellOf } from "../lines.ts";
import { NOBODY, PLAIN_TYPE, type TraceRequest } from "../trace.ts";
import { BadValue, quoted, secondsOf, tokensOf } from "./columns.ts";
import type { Format } from "./formats.ts";

/** In the order in which they are written. */
export const COLUMNS = [
  "at",
  "caller",
  "prompt_tokens",
  "output_tokens",
  "max_tokens",
  "prefix",
  "model",
  "task_type",
  "priority",
] as const;

type Column = (typeof COLUMNS)[number];

const NEEDED: readonly Column[] = ["at", "prompt_tokens", "output_tokens"];

/** Numbers of a prefix that are kept; among prompts with this much in common any will do. */
const LONGEST_PREFIX = 64;

export const own: Format = {
  name: "ALT_LAS",
  columns: COLUMNS,
  needed: NEEDED,
  read: (cell) => {
    const text = (column: Column): string | undefined => cell(column) || undefined;
    const max = text("max_tokens");
    return {
      at: secondsOf("at", cell("at")),
      caller: text("caller") ?? NOBODY,
      promptTokens: tokensOf("prompt_tokens", cell("prompt_tokens")),
      outputTokens: tokensOf("output_tokens", cell("output_tokens")),
      maxTokens: max === undefined ? null : tokensOf("max_tokens", max),
      prefix: prefixOf(text("prefix")),
      model: text("model") ?? null,
      taskType: text("task_type") ?? PLAIN_TYPE,
      priority: priorityOf(text("priority")),
    };
  },
};

const NO_PREFIX: readonly number[] = [];

function prefixOf(text: string | undefined): readonly number[] {
  if (text === undefined) return NO_PREFIX;
  return text
    .split(".")
    .slice(0, LONGEST_PREFIX)
    .map((part) => {
      if (!/^[0-9a-f]{1,8}$/.test(part))
        throw new BadValue(
          `prefix must be hashes of 1 to 8 hexadecimal digits with dots between; got ${quoted(text)}.`,
        );
      return Number.parseInt(part, 16) | 0;
    });
}

function priorityOf(text = "normal"): Priority {
  const priority = PRIORITIES.find((one) => one === text);
  if (priority === undefined)
    throw new BadValue(`priority must be one of ${PRIORITIES.join(", ")}; got ${quoted(text)}.`);
  return priority;
}

/** The first line. */
export const HEAD = COLUMNS.join(",");

/** A request as a line. */
export function lineOf(request: TraceRequest): string {
  const { at, caller, promptTokens, outputTokens, maxTokens, prefix, model, taskType, priority } = request;
  const hashes = prefix.map((hash) => (hash >>> 0).toString(16)).join(".");
  const cells = [at.toFixed(3), cellOf(caller), promptTokens, outputTokens, maxTokens ?? "", hashes];
  return [...cells, cellOf(model ?? ""), cellOf(taskType), priority].join(",");
}
