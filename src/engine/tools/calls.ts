/** The calls of one answer, from the readers of a syntax to deltas. */
import { isObject, valueIn } from "../../common/json-values.ts";
import type { ToolCallDelta } from "../../output.ts";
import type { Tool } from "../../request.ts";
import { newToolCallId } from "../tool-call-id.ts";

export interface CallsOptions {
  /** The tools that the model was told of. */
  readonly tools: readonly Tool[];
  /** Whether a grammar has made sure that what begins a call is one: then its arguments are told as they come. */
  readonly areSure: boolean;
}

/** A reader says what it finds, in this order: `begin`, any number of `argue`, `end`. Nothing is told of a call that turns out to be none. */
export class Calls {
  readonly #tools: ReadonlyMap<string, Tool>;
  readonly #areSure: boolean;
  readonly #tell: (delta: ToolCallDelta) => void;
  #name = "";
  #arguments = "";
  #count = 0;

  constructor({ tools, areSure }: CallsOptions, tell: (delta: ToolCallDelta) => void) {
    this.#tools = new Map(tools.map((tool) => [tool.name, tool]));
    this.#areSure = areSure;
    this.#tell = tell;
  }

  /** Calls that were told, from the first piece on. */
  get count(): number {
    return this.#count;
  }

  /** @returns the tool of that name; undefined: none was offered */
  toolCalled(name: string): Tool | undefined {
    return this.#tools.get(name);
  }

  begin(name: string): void {
    this.#name = name;
    this.#arguments = "";
    if (this.#areSure) this.#first("");
  }

  /** @param piece of the arguments, as JSON */
  argue(piece: string): void {
    if (!this.#areSure) this.#arguments += piece;
    else if (piece !== "") this.#tell({ kind: "tool_call", index: this.#count - 1, arguments: piece });
  }

  /** @returns whether it is a call: of a tool that was offered, with an object in JSON */
  end(): boolean {
    if (this.#areSure) return true;
    if (!this.#tools.has(this.#name) || !isObject(valueIn(this.#arguments))) return false;
    this.#first(this.#arguments);
    return true;
  }

  #first(piece: string): void {
    const call = { id: newToolCallId(), name: this.#name };
    this.#tell({ kind: "tool_call", index: this.#count++, call, arguments: piece });
  }
}
