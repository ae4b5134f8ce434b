/**
 * From the text that a model generates to the deltas of its answer: what it wrote for itself first is reasoning, and the rest is text, up to
 * the first stop sequence. Wherever the text is cut into pieces, the deltas add up to the same.
 */
import { type Delta } from "../output.ts";

/** What stands around a model's reasoning, like `<think>` and `</think>`. None begins with white space. */
export interface ReasoningMarks {
  readonly open: string;
  readonly close: string;
}

/** What to look for in the text of one answer. */
export interface AnswerShape {
  /** The text ends before the first of these; none is empty. They are not looked for in the reasoning. */
  readonly stop: readonly string[];
  /** null: all is text. */
  readonly marks: ReasoningMarks | null;
  /** Whether the prompt has opened the reasoning already. */
  readonly isInside?: boolean;
  /** Whether a grammar begins with the text. What a token that closes the reasoning has behind the mark is then none of it, and is not told. */
  readonly isFormed?: boolean;
}

/** Whether there is anything to look for; else an engine emits its text as it comes. */
export function isShaped({ stop, marks }: AnswerShape): boolean {
  return stop.length > 0 || marks !== null;
}

/**
 * One answer. Only reasoning at its very beginning counts, so all of it comes before the text. Neither the marks nor the blank lines behind
 * them are told. Text is held back only while it may be part of a mark or of a stop sequence.
 */
export class AnswerText {
  readonly #emit: (delta: Delta, tokens: number) => void;
  readonly #marks: ReasoningMarks | null;
  readonly #close: Search;
  readonly #stop: Search;
  readonly #isFormed: boolean;
  #phase: "start" | "reasoning" | "text";
  /** At the start: what may be the opening mark. */
  #start = "";
  /** White space that may be blank lines behind a mark; undefined: what comes is no longer directly behind one. */
  #blank: string | undefined;
  /** Tokens that no delta has told yet. */
  #tokens = 0;
  #hasStopped = false;
  /** UTF-16 units that were pushed. */
  #length = 0;
  #textAt: number | undefined;

  /** @param emit what it throws is thrown by `push` and `end` */
  constructor(
    { stop, marks, isInside = false, isFormed = false }: AnswerShape,
    emit: (delta: Delta, tokens: number) => void,
  ) {
    this.#emit = emit;
    this.#marks = marks;
    this.#close = new Search(marks === null ? [] : [marks.close]);
    this.#stop = new Search(stop);
    this.#isFormed = isFormed;
    this.#phase = marks === null ? "text" : isInside ? "reasoning" : "start";
    this.#blank = this.#phase === "reasoning" ? "" : undefined;
  }

  /** Whether what comes now is reasoning still. */
  get isReasoning(): boolean {
    return this.#phase === "reasoning";
  }

  /** Where the text begins, in UTF-16 units of all that was pushed: behind the reasoning. 0 before there is any. */
  get textAt(): number {
    return this.#textAt ?? 0;
  }

  /**
   * Emits what is certain by now; "" where nothing is, so that the tokens are told.
   * @returns whether a stop sequence has ended the answer: what comes behind it is of no interest
   */
  push(piece: string, tokens: number): boolean {
    this.#tokens = tokens;
    this.#length += piece.length;
    if (!this.#hasStopped) this.#take(piece);
    if (this.#tokens > 0) this.#tell(this.#phase === "reasoning" ? "reasoning" : "text", "");
    return this.#hasStopped;
  }

  /** Emits what was held back, when nothing comes any more. @returns as `push` */
  end(): boolean {
    if (this.#hasStopped) return true;
    const blank = this.#blank ?? "";
    this.#blank = undefined;
    if (this.#phase === "start") this.#beginText(this.#start);
    else this.#take(withoutBlankLines(blank, blank.length));
    if (this.#phase === "reasoning") this.#give("reasoning", this.#close.end());
    else if (!this.#hasStopped) this.#give("text", this.#stop.end());
    return this.#hasStopped;
  }

  #take(piece: string): void {
    if (this.#phase === "start") return this.#open(piece);
    const text = this.#blank === undefined ? piece : this.#behindMark(this.#blank + piece);
    if (this.#phase === "reasoning") {
      const { before, after } = this.#close.push(text);
      this.#give("reasoning", before);
      if (after === undefined) return;
      this.#blank = "";
      this.#beginText(this.#isFormed ? "" : after);
    } else {
      // The end of all that was pushed, whatever was held back.
      if (text !== "") this.#textAt ??= this.#length - text.length;
      const { before, after } = this.#stop.push(text);
      this.#hasStopped = after !== undefined;
      this.#give("text", before);
    }
  }

  #open(piece: string): void {
    const { open } = this.#marks!;
    const text = this.#start + piece;
    const begun = text.trimStart();
    if (begun.startsWith(open)) {
      this.#phase = "reasoning";
      this.#blank = "";
      this.#take(begun.slice(open.length));
    } else if (open.startsWith(begun)) this.#start = text;
    else this.#beginText(text);
  }

  #beginText(text: string): void {
    this.#phase = "text";
    this.#start = "";
    this.#take(text);
  }

  #behindMark(text: string): string {
    const at = text.search(/\S/);
    this.#blank = at === -1 ? text : undefined;
    return at === -1 ? "" : withoutBlankLines(text, at);
  }

  #give(kind: "reasoning" | "text", text: string): void {
    if (text !== "") this.#tell(kind, text);
  }

  #tell(kind: "reasoning" | "text", text: string): void {
    const tokens = this.#tokens;
    this.#tokens = 0;
    this.#emit({ kind, text }, tokens);
  }
}

/** @param at where its first line that is not blank has its first character */
function withoutBlankLines(text: string, at: number): string {
  return text.slice(text.lastIndexOf("\n", at) + 1);
}

/** One of the strings that a search looks for. */
interface Pattern {
  readonly text: string;
  /** By a number of characters, how many of these are at the pattern's beginning again: all of them but fewer than that number. */
  readonly shorter: Uint32Array;
  /** Characters of its beginning that the text so far ends with. */
  matched: number;
}

/**
 * Finds the first of some strings in a text that comes in pieces: the one that is whole first, of several at once the longest. Each character
 * is looked at once (Knuth, Morris and Pratt, 1977), so that no string makes a long answer slow.
 */
class Search {
  readonly #patterns: readonly Pattern[];
  /** The longest tail of the text that may begin one of the strings. */
  #held = "";

  /** @param texts none is empty */
  constructor(texts: readonly string[]) {
    this.#patterns = texts.map((text) => ({ text, shorter: bordersOf(text), matched: 0 }));
  }

  /** @returns the text before what was found, as far as it was not returned earlier, and what of the piece comes behind it; undefined: none was found */
  push(piece: string): { readonly before: string; readonly after: string | undefined } {
    if (this.#patterns.length === 0) return { before: piece, after: undefined };
    const text = this.#held + piece;
    const from = this.#held.length;
    this.#held = "";
    for (let at = from; at < text.length; at++) {
      const found = this.#step(text.charCodeAt(at));
      if (found > 0) return { before: text.slice(0, at + 1 - found), after: text.slice(at + 1) };
    }
    const sure = text.length - Math.max(...this.#patterns.map(({ matched }) => matched));
    this.#held = text.slice(sure);
    return { before: text.slice(0, sure), after: undefined };
  }

  /** What was held back, when nothing comes any more. */
  end(): string {
    return this.#held;
  }

  /** @returns the length of the longest string that this character completes; 0: none */
  #step(unit: number): number {
    let found = 0;
    for (const pattern of this.#patterns) {
      while (pattern.matched > 0 && pattern.text.charCodeAt(pattern.matched) !== unit)
        pattern.matched = pattern.shorter[pattern.matched]!;
      if (pattern.text.charCodeAt(pattern.matched) === unit) pattern.matched++;
      if (pattern.matched === pattern.text.length) found = Math.max(found, pattern.matched);
    }
    return found;
  }
}

function bordersOf(text: string): Uint32Array {
  const borders = new Uint32Array(text.length + 1);
  for (let at = 1, border = 0; at < text.length; at++) {
    while (border > 0 && text.charCodeAt(border) !== text.charCodeAt(at)) border = borders[border]!;
    if (text.charCodeAt(border) === text.charCodeAt(at)) border++;
    borders[at + 1] = border;
  }
  return borders;
}
