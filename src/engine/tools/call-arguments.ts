/** The arguments of a tool as a grammar: one object in JSON, or values between tags. */
import {
  chars,
  choice,
  EMPTY,
  type Expression,
  literal,
  optional,
  repeat,
  sequence,
} from "../../grammar/expression.ts";
import { charsOf, TEXT_CHARS, without } from "../../grammar/charset.ts";
import { textWithout } from "../../grammar/free-text.ts";
import { ANY_OBJECT, ANY_VALUE } from "../../grammar/json.ts";
import { isObject, valueIn } from "../../common/json-values.ts";
import type { JsonSchema, Tool } from "../../request.ts";
import { EngineFailure } from "../failures.ts";
import { argumentsGrammar, formGrammar } from "../forms/form-grammar.ts";
import { ParameterTypes } from "./parameter-types.ts";

/** Of a tool whose schema does not name its arguments: how many there may be, and characters of a name. */
const [UNNAMED, LONGEST_NAME] = [16, 64];

/** The text around an argument that is written between tags. */
export interface Tags {
  readonly open: string;
  readonly between: Expression;
  readonly close: Expression;
  /** No value has it in itself. */
  readonly mark: string;
}

/** How the arguments of one tool may be written. */
export class CallArguments {
  readonly #tool: Tool;
  /** Of an object. */
  readonly #schema: Readonly<Record<string, unknown>>;

  constructor(tool: Tool) {
    this.#tool = tool;
    this.#schema = objectSchemaOf(tool.parameters);
  }

  /** @throws {EngineFailure} `invalid_input`: the tool is strict, and its schema cannot be compiled */
  json(): Expression {
    return this.#or(ANY_OBJECT, () => argumentsGrammar(this.#tool.parameters));
  }

  /** Each in its turn, those that are not required or not. @throws {EngineFailure} as `json` */
  tagged(tags: Tags): Expression {
    const { properties, required, additionalProperties } = this.#schema;
    const wanted = Array.isArray(required) ? required.filter((key) => typeof key === "string") : [];
    const names = new Set([...(isObject(properties) ? Object.keys(properties) : []), ...wanted].filter(isName));
    if (names.size > 0)
      return sequence(
        ...[...names].map((name) => {
          const one = argument(literal(name), this.#valueOf(name, tags), tags);
          return wanted.includes(name) ? one : optional(one);
        }),
      );
    if (additionalProperties === false) return EMPTY;
    const name = repeat(chars(without(TEXT_CHARS, charsOf("<>\n"))), 1, LONGEST_NAME);
    return repeat(argument(name, textWithout(tags.mark), tags), 0, UNNAMED);
  }

  #valueOf(name: string, { mark }: Tags): Expression {
    const types = new ParameterTypes(this.#schema);
    const schema = types.propertyOf(name);
    const { const: only, enum: several } = types.resolved(schema);
    const values = only === undefined ? several : [only];
    if (Array.isArray(values)) {
      const texts = values.flatMap((value) => textFor(value, name, types) ?? []).filter((text) => !text.includes(mark));
      return texts.length > 0 ? choice(...texts) : textWithout(mark);
    }
    const found = types.typesOf(schema);
    if (found === null || found.has("string")) return textWithout(mark);
    const { $defs, definitions } = this.#schema;
    const whole = { ...(schema as object), $defs, definitions };
    return this.#or(ANY_VALUE, () => formGrammar({ kind: "schema", name, schema: whole, strict: false }));
  }

  /** @param loose what is allowed instead where the schema cannot be compiled: the tool itself has to look at what it is given */
  #or(loose: Expression, compile: () => Expression): Expression {
    try {
      return compile();
    } catch (error) {
      if (!(error instanceof EngineFailure) || this.#tool.strict === true) throw error;
      return loose;
    }
  }
}

/** The text between tags that is read as this value; undefined: none is. */
function textFor(value: unknown, name: string, types: ParameterTypes): string | undefined {
  const json = JSON.stringify(value);
  const texts = typeof value === "string" ? [value, json] : [json];
  return texts.find((text) => JSON.stringify(valueIn(types.jsonOf(name, text))) === json);
}

/** Whatever the schema says, arguments are an object; without a schema there are none. */
function objectSchemaOf(parameters: JsonSchema | undefined): Readonly<Record<string, unknown>> {
  if (parameters === undefined) return { type: "object", properties: {}, additionalProperties: false };
  const schema = new ParameterTypes(parameters).resolved(parameters);
  const { $defs, definitions } = isObject(parameters) ? parameters : {};
  return {
    ...($defs !== undefined && { $defs }),
    ...(definitions !== undefined && { definitions }),
    ...schema,
    type: "object",
  };
}

/** Whether a name can stand in a tag. */
function isName(name: string): boolean {
  return name !== "" && !/[<>]/.test(name);
}

function argument(name: Expression, value: Expression, { open, between, close }: Tags): Expression {
  return sequence(open, name, between, value, close);
}
