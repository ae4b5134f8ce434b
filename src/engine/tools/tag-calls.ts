/** Readers of calls whose arguments stand between tags, as plain text: what they are as JSON, the tool's schema says. */
import type { Tool } from "../../request.ts";
import type { Calls } from "./calls.ts";
import { ParameterTypes } from "./parameter-types.ts";
import type { Reading, Source } from "./source.ts";

const NAME = /[^<>\s]/;
/** Of a parameter's name, which may have spaces. */
const KEY = /[^<>]/;

/** Behind `<tool_call>`: `<function=NAME>`, then `<parameter=KEY>` with a value for each. */
export function* parameterTags(source: Source, calls: Calls): Reading<boolean> {
  yield* source.blank();
  if (!(yield* source.takes("<function="))) return false;
  const name = yield* source.all(NAME);
  if (!(yield* source.takes(">"))) return false;
  const call = new TaggedCall(calls, name);
  for (;;) {
    yield* source.blank();
    if (yield* source.takes("</function>")) return call.end();
    if (!(yield* source.takes("<parameter="))) return false;
    const key = yield* source.all(KEY);
    if (!(yield* source.takes(">"))) return false;
    const value = yield* source.until("</parameter>");
    if (value === null) return false;
    // Each value stands on lines of its own.
    call.argue(key, value.replace(/^\n/, "").replace(/\n$/, ""));
  }
}

/** Behind `<tool_call>`: the name, then `<arg_key>` and `<arg_value>` for each argument. */
export function* keyAndValueTags(source: Source, calls: Calls): Reading<boolean> {
  yield* source.blank();
  const name = yield* source.all(NAME);
  if (name === "") return false;
  const call = new TaggedCall(calls, name);
  for (;;) {
    yield* source.blank();
    if (yield* source.takes("</tool_call>")) return call.end();
    if (!(yield* source.takes("<arg_key>"))) return false;
    const key = yield* source.until("</arg_key>");
    yield* source.blank();
    if (key === null || !(yield* source.takes("<arg_value>"))) return false;
    const value = yield* source.until("</arg_value>");
    if (value === null) return false;
    call.argue(key.trim(), value);
  }
}

/** Makes one object in JSON of the arguments, in their order. */
class TaggedCall {
  readonly #calls: Calls;
  readonly #types: ParameterTypes;
  #before = "{";

  constructor(calls: Calls, name: string) {
    this.#calls = calls;
    const tool: Tool | undefined = calls.toolCalled(name);
    this.#types = new ParameterTypes(tool?.parameters);
    calls.begin(name);
  }

  argue(key: string, value: string): void {
    this.#calls.argue(`${this.#before}${JSON.stringify(key)}: ${this.#types.jsonOf(key, value)}`);
    this.#before = ", ";
  }

  end(): boolean {
    this.#calls.argue(this.#before === "{" ? "{}" : "}");
    return this.#calls.end();
  }
}
