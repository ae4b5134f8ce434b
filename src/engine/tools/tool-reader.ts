/** Parts the text of an answer into what is for people and the calls of tools in it. Wherever the text is cut, what is told adds up to the same. */
import type { ToolCallDelta } from "../../output.ts";
import type { Tool } from "../../request.ts";
import { Search } from "../search.ts";
import { Calls } from "./calls.ts";
import type { Family } from "./families.ts";
import { type Reading, Source } from "./source.ts";

/** The tools of one request, in the syntax of its model. */
export interface ToolShape {
  readonly family: Family;
  /** Those that the model was told of. */
  readonly tools: readonly Tool[];
  /** Whether there may be several calls; else the answer ends with the first. */
  readonly parallel: boolean;
  /** Whether a grammar leaves nothing but calls: they are told as they come then. */
  readonly areSure: boolean;
}

export interface ToolListener {
  readonly text: (text: string) => void;
  readonly call: (delta: ToolCallDelta) => void;
}

/** The characters that may stand between objects that are calls. */
const SEPARATORS = /^[\s;,]$/;

/**
 * The text before the first call is told, unless it is blank; that behind it is not. Text that begins like a call and is none is told as it
 * stands, up to where that shows.
 */
export class ToolReader {
  readonly #shape: ToolShape;
  readonly #listener: ToolListener;
  readonly #calls: Calls;
  #search: Search | null;
  /** White space before all text; undefined: there was some text. */
  #blank: string | undefined = "";
  /** Of a syntax without a mark: whether nothing stands before what comes. */
  #isFirst = true;
  #frame: { readonly source: Source; readonly reading: Reading<boolean> } | undefined;

  constructor(shape: ToolShape, listener: ToolListener) {
    this.#shape = shape;
    this.#listener = listener;
    this.#calls = new Calls({ tools: shape.tools, areSure: shape.areSure }, listener.call);
    this.#search = searchFor(shape.family);
  }

  /** Whether there is a call already. */
  get hasCall(): boolean {
    return this.#calls.count > 0;
  }

  /** @returns whether the answer is over: what comes is of no interest */
  push(piece: string): boolean {
    let rest = piece;
    while (rest !== "" && !this.#isOver) rest = this.#frame === undefined ? this.#look(rest) : this.#read(rest);
    return this.#isOver;
  }

  /** Tells what was held back, when nothing comes any more. @returns as `push` */
  end(): boolean {
    // Text behind a call that is none may begin another.
    while (this.#frame !== undefined && !this.#isOver) {
      this.#frame.source.hasEnded = true;
      const rest = this.#read("");
      if (rest !== "") this.push(rest);
    }
    if (this.#isOver) return true;
    this.#tell(this.#search?.end() ?? "");
    if (!this.hasCall && this.#blank) this.#listener.text(this.#blank);
    return false;
  }

  get #isOver(): boolean {
    return this.hasCall && !this.#shape.parallel && this.#frame === undefined;
  }

  /** @returns what stands behind the opening of a call; "": there is none */
  #look(piece: string): string {
    if (this.#search === null) return this.#lookFirst(piece);
    const { before, after } = this.#search.push(piece);
    this.#tell(before);
    if (after === undefined) return "";
    this.#open(this.#shape.family.opening!);
    // The reader may need nothing more to see that it is none.
    return after === "" ? this.#read("") : after;
  }

  #lookFirst(piece: string): string {
    let at = 0;
    while (this.#isFirst && at < piece.length && piece[at] !== "{") {
      this.#isFirst = (this.hasCall ? SEPARATORS : BLANK).test(piece[at]!);
      at++;
    }
    if (!this.#isFirst || at === piece.length) {
      this.#tell(piece);
      return "";
    }
    this.#tell(piece.slice(0, at));
    this.#open("");
    return piece.slice(at);
  }

  /** @param opening that was taken already */
  #open(opening: string): void {
    const source = new Source();
    source.add(opening);
    source.at = opening.length;
    this.#frame = { source, reading: this.#shape.family.read(source, this.#calls) };
  }

  /** @returns what stands behind the call, or behind what is none; "": it goes on */
  #read(piece: string): string {
    const { source, reading } = this.#frame!;
    source.add(piece);
    const { done, value: isCall } = reading.next();
    if (done !== true) return "";
    this.#frame = undefined;
    this.#search = searchFor(this.#shape.family);
    this.#isFirst = isCall;
    if (!isCall) this.#tell(source.text.slice(0, source.at));
    return source.text.slice(source.at);
  }

  #tell(text: string): void {
    if (text === "" || this.hasCall) return;
    const whole = (this.#blank ?? "") + text;
    this.#blank = this.#blank !== undefined && whole.trim() === "" ? whole : undefined;
    if (this.#blank === undefined) this.#listener.text(whole);
  }
}

const BLANK = /^\s$/;

function searchFor({ opening }: Family): Search | null {
  return opening === null ? null : new Search([opening]);
}
