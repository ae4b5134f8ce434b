/**
 * Traces of Azure's LLM inference services, of 2023 (code, conv) and 2024 (a week): https://github.com/Azure/AzurePublicDataset.
 * They tell when a request came, and its tokens; neither callers nor limits nor contents.
 */
import { NOBODY, PLAIN_TYPE } from "../trace.ts";
import { BadValue, quoted, tokensOf } from "./columns.ts";
import type { Format } from "./formats.ts";

const COLUMNS = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"];

/** A date and a time of day; the zone is the same in all lines, and UTC where there is none. */
const TIME = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d)?$/;

export const azure: Format = {
  name: "Azure LLM inference",
  columns: COLUMNS,
  needed: COLUMNS,
  read: (cell) => ({
    at: timeOf(cell("TIMESTAMP")),
    caller: NOBODY,
    promptTokens: tokensOf("ContextTokens", cell("ContextTokens")),
    outputTokens: tokensOf("GeneratedTokens", cell("GeneratedTokens")),
    maxTokens: null,
    prefix: [],
    model: null,
    taskType: PLAIN_TYPE,
    priority: "normal",
  }),
};

/** Seconds since 1970. */
function timeOf(text = ""): number {
  const [, day, time, fraction = "", zone = "Z"] = TIME.exec(text) ?? [];
  const seconds = Date.parse(`${day}T${time}${zone}`) / 1000;
  if (Number.isFinite(seconds)) return seconds + Number(`0${fraction}`);
  throw new BadValue(`TIMESTAMP must be a time like 2023-11-16 18:15:46.680; got ${quoted(text)}.`);
}
