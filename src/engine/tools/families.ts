/** The families of syntax in which models write calls of tools. Which one a model knows, its chat template shows: see find-syntax.ts. */
import { type Calls } from "./calls.ts";
import { bracketedCalls, callBehindMark, callObject } from "./json-calls.ts";
import { type Reading, type Source } from "./source.ts";
import { keyAndValueTags, parameterTags } from "./tag-calls.ts";

export interface Family {
  /** For people. */
  readonly name: string;
  /** What begins a call, wherever it stands in the text; null: the text is one, if an object in JSON is the first thing in it. */
  readonly opening: string | null;
  /** What vocabularies may have as special tokens. */
  readonly marks: readonly string[];
  /** A call of `NAME` as templates write it, with the text `VALUE` for its first argument, `KEY`. */
  readonly pattern: string;
  /** Reads what stands behind the opening. @returns whether it is a call, or several */
  read(source: Source, calls: Calls): Reading<boolean>;
}

const TOOL_CALL = ["<tool_call>", "</tool_call>"];
const TOOL_CALLS = ["[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"];
const OBJECT = String.raw`\{\s*"KEY"\s*:\s*"VALUE"[^{}]*\}`;

export const FAMILIES: readonly Family[] = [
  {
    name: "<tool_call> with JSON",
    opening: "<tool_call>",
    marks: TOOL_CALL,
    pattern: String.raw`<tool_call>\s*\{\s*"name"\s*:\s*"NAME"\s*,\s*"arguments"\s*:\s*${OBJECT}\s*\}\s*</tool_call>`,
    read: callBehindMark,
  },
  {
    name: "<function=…>",
    opening: "<tool_call>",
    marks: TOOL_CALL,
    pattern: String.raw`<tool_call>\s*<function=NAME>\s*<parameter=KEY>\s*VALUE\s*</parameter>.*?</function>\s*</tool_call>`,
    read: parameterTags,
  },
  {
    name: "[TOOL_CALLS] with names",
    opening: "[TOOL_CALLS]",
    marks: TOOL_CALLS,
    pattern: String.raw`\[TOOL_CALLS\]\s*NAME\s*(?:\[CALL_ID\]\s*\w+\s*)?\[ARGS\]\s*${OBJECT}`,
    read: bracketedCalls,
  },
  {
    name: "[TOOL_CALLS] with a list",
    opening: "[TOOL_CALLS]",
    marks: TOOL_CALLS,
    pattern: String.raw`\[TOOL_CALLS\]\s*\[\s*\{\s*"name"\s*:\s*"NAME"\s*,\s*"arguments"\s*:\s*${OBJECT}`,
    read: bracketedCalls,
  },
  {
    name: "<arg_key>",
    opening: "<tool_call>",
    marks: [...TOOL_CALL, "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"],
    pattern: String.raw`<tool_call>\s*NAME\s*<arg_key>\s*KEY\s*</arg_key>\s*<arg_value>\s*VALUE\s*</arg_value>.*?</tool_call>`,
    read: keyAndValueTags,
  },
  {
    name: "a bare object",
    opening: null,
    marks: [],
    pattern: String.raw`^\s*\{\s*"name"\s*:\s*"NAME"\s*,\s*"parameters"\s*:\s*${OBJECT}\s*\}`,
    read: callObject,
  },
];
