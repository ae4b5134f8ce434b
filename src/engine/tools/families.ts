/** The families of syntax in which models write calls of tools. Which one a model knows, its chat template shows: see find-syntax.ts. */
import { type Expression, literal, optional, sequence } from "../../grammar/expression.ts";
import type { Tool } from "../../request.ts";
import { CallArguments } from "./call-arguments.ts";
import type { Calls } from "./calls.ts";
import { bracketedCalls, callBehindMark, callObject } from "./json-calls.ts";
import type { Reading, Source } from "./source.ts";
import { keyAndValueTags, parameterTags } from "./tag-calls.ts";

export interface Family {
  /** For people. */
  readonly name: string;
  /** The mark that begins a call, wherever it stands in the text; null: the text is one, if an object in JSON is the first thing in it. */
  readonly opening: string | null;
  /** Texts that vocabularies may have as special tokens. */
  readonly marks: readonly string[];
  /** A call of `NAME` as templates write it, with the text `VALUE` for its first argument, `KEY`. */
  readonly pattern: string;
  /** One call, without what stands around all of them. @throws {EngineFailure} `invalid_input` */
  write(tool: Tool): Expression;
  /** The text before all calls, between two, and behind all. */
  readonly around: readonly [string | Expression, string | Expression, string | Expression];
  /** Reads what stands behind the opening. @returns whether it is a call, or several */
  read(source: Source, calls: Calls): Reading<boolean>;
}

const TOOL_CALL = ["<tool_call>", "</tool_call>"];
const TOOL_CALLS = ["[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"];
const LINE = optional(literal("\n"));
const [START, END] = TOOL_CALL as [string, string];

/** Calls that stand alone. */
const ALONE = ["", LINE, ""] as const;

const OBJECT = String.raw`\{\s*"KEY"\s*:\s*"VALUE"[^{}]*\}`;

export const FAMILIES: readonly Family[] = [
  {
    name: "<tool_call> with JSON",
    opening: "<tool_call>",
    marks: TOOL_CALL,
    pattern: String.raw`<tool_call>\s*\{\s*"name"\s*:\s*"NAME"\s*,\s*"arguments"\s*:\s*${OBJECT}\s*\}\s*</tool_call>`,
    write: (tool) => sequence(START, LINE, object(tool, "arguments"), LINE, END),
    around: ALONE,
    read: callBehindMark,
  },
  {
    name: "<function=…>",
    opening: "<tool_call>",
    marks: TOOL_CALL,
    pattern: String.raw`<tool_call>\s*<function=NAME>\s*<parameter=KEY>\s*VALUE\s*</parameter>.*?</function>\s*</tool_call>`,
    write: (tool) => {
      const tags = {
        open: "<parameter=",
        between: literal(">\n"),
        close: literal("\n</parameter>\n"),
        mark: "</parameter>",
      };
      return sequence(
        `${START}\n<function=${tool.name}>\n`,
        new CallArguments(tool).tagged(tags),
        `</function>\n${END}`,
      );
    },
    around: ALONE,
    read: parameterTags,
  },
  {
    name: "[TOOL_CALLS] with names",
    opening: "[TOOL_CALLS]",
    marks: TOOL_CALLS,
    pattern: String.raw`\[TOOL_CALLS\]\s*NAME\s*(?:\[CALL_ID\]\s*\w+\s*)?\[ARGS\]\s*${OBJECT}`,
    write: (tool) => sequence(`[TOOL_CALLS]${tool.name}[ARGS]`, new CallArguments(tool).json()),
    around: ["", "", ""],
    read: bracketedCalls,
  },
  {
    name: "[TOOL_CALLS] with a list",
    opening: "[TOOL_CALLS]",
    marks: TOOL_CALLS,
    pattern: String.raw`\[TOOL_CALLS\]\s*\[\s*\{\s*"name"\s*:\s*"NAME"\s*,\s*"arguments"\s*:\s*${OBJECT}`,
    write: (tool) => object(tool, "arguments"),
    around: [sequence("[TOOL_CALLS]", optional(literal(" ")), "["), ", ", "]"],
    read: bracketedCalls,
  },
  {
    name: "<arg_key>",
    opening: "<tool_call>",
    marks: [...TOOL_CALL, "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"],
    pattern: String.raw`<tool_call>\s*NAME\s*<arg_key>\s*KEY\s*</arg_key>\s*<arg_value>\s*VALUE\s*</arg_value>.*?</tool_call>`,
    write: (tool) => {
      const between = sequence("</arg_key>", LINE, "<arg_value>");
      const tags = { open: "<arg_key>", between, close: sequence("</arg_value>", LINE), mark: "</arg_value>" };
      return sequence(START + tool.name, LINE, new CallArguments(tool).tagged(tags), END);
    },
    around: ALONE,
    read: keyAndValueTags,
  },
  {
    name: "a bare object",
    opening: null,
    marks: [],
    pattern: String.raw`^\s*\{\s*"name"\s*:\s*"NAME"\s*,\s*"parameters"\s*:\s*${OBJECT}\s*\}`,
    write: (tool) => object(tool, "parameters"),
    around: ["", "; ", ""],
    read: callObject,
  },
];

function object(tool: Tool, key: "arguments" | "parameters"): Expression {
  return sequence(`{"name": ${JSON.stringify(tool.name)}, "${key}": `, new CallArguments(tool).json(), "}");
}
