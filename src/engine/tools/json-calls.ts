/** Readers of calls that are objects in JSON, or names with such an object. */
import { textIn, valueIn } from "../../common/json-values.ts";
import type { Calls } from "./calls.ts";
import { jsonString, jsonValue } from "./json-text.ts";
import type { Reading, Source } from "./source.ts";

/** Models of one family write both, whatever their template says. */
const ARGUMENTS = new Set(["arguments", "parameters"]);

/** A call as `{"name": …, "arguments": {…}}`. @returns whether it is one */
export function* callObject(source: Source, calls: Calls): Reading<boolean> {
  if (!(yield* source.takes("{"))) return false;
  const found = new CallMembers(calls);
  for (;;) {
    yield* source.blank();
    const key = yield* jsonString(source);
    yield* source.blank();
    if (key === null || !(yield* source.takes(":"))) return false;
    yield* source.blank();
    if (!(yield* found.member(source, textIn(valueIn(key)) ?? ""))) return false;
    yield* source.blank();
    if (yield* source.takes("}")) return found.end();
    if (!(yield* source.takes(","))) return false;
  }
}

/** The call, as far as the members of such an object have told it so far. */
class CallMembers {
  readonly #calls: Calls;
  #name: string | null = null;
  /** The arguments, where they came before the name. */
  #early: string | null = null;
  #hasArguments = false;

  constructor(calls: Calls) {
    this.#calls = calls;
  }

  *member(source: Source, key: string): Reading<boolean> {
    if (key === "name") {
      if (this.#name !== null) return false;
      this.#name = textIn(valueIn((yield* jsonString(source)) ?? ""));
      if (this.#name !== null) this.#calls.begin(this.#name);
      return this.#name !== null;
    }
    if (!ARGUMENTS.has(key)) return (yield* jsonValue(source)) !== null;
    if (this.#hasArguments) return false;
    this.#hasArguments = true;
    const isObject = (yield* source.next()) === "{";
    if (isObject && this.#name !== null)
      return (yield* jsonValue(source, (piece) => this.#calls.argue(piece))) !== null;
    const value = yield* jsonValue(source);
    // Some write a text that is JSON itself, and some `null` where there are none.
    const text = value === null || isObject ? value : (textIn(valueIn(value)) ?? (value === "null" ? "{}" : value));
    if (this.#name === null) this.#early = text;
    else if (text !== null) this.#calls.argue(text);
    return text !== null;
  }

  end(): boolean {
    if (this.#name === null) return false;
    if (!this.#hasArguments) this.#calls.argue("{}");
    else if (this.#early !== null) this.#calls.argue(this.#early);
    return this.#calls.end();
  }
}

/** Such an object behind a mark. */
export function* callBehindMark(source: Source, calls: Calls): Reading<boolean> {
  yield* source.blank();
  return yield* callObject(source, calls);
}

const NAME = /[\w.-]/;

/** Behind `[TOOL_CALLS]`: a name and an object, or a list of objects with both. */
export function* bracketedCalls(source: Source, calls: Calls): Reading<boolean> {
  yield* source.blank();
  if (yield* source.takes("[")) return yield* callList(source, calls);
  const name = yield* source.all(NAME);
  yield* source.blank();
  // Some put a number of their own between.
  if (yield* source.takes("[CALL_ID]")) {
    yield* source.blank();
    yield* source.all(NAME);
    yield* source.blank();
  }
  if (name === "" || !(yield* source.takes("[ARGS]"))) return false;
  yield* source.blank();
  if ((yield* source.next()) !== "{") return false;
  calls.begin(name);
  return (yield* jsonValue(source, (piece) => calls.argue(piece))) !== null && calls.end();
}

function* callList(source: Source, calls: Calls): Reading<boolean> {
  do {
    yield* source.blank();
    if (!(yield* callObject(source, calls))) return false;
    yield* source.blank();
  } while (yield* source.takes(","));
  return yield* source.takes("]");
}
