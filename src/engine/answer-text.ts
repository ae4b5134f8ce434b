/**
 * From the text that a model generates to the deltas of its answer: what it wrote for itself first is reasoning, and the rest is text and calls
 * of tools, up to the first stop sequence. Wherever the text is cut into pieces, the deltas add up to the same.
 */
import type { Delta, ToolCallDelta } from "../output.ts";
import { Search } from "./search.ts";
import { ToolReader, type ToolShape } from "./tools/tool-reader.ts";

/** The marks around a model's reasoning, like `<think>` and `</think>`. None begins with white space. */
export interface ReasoningMarks {
  readonly open: string;
  readonly close: string;
}

/** null: none. */
export function marksOf(marks: ReasoningMarks | null): readonly string[] {
  return marks === null ? [] : [marks.open, marks.close];
}

/** The parts to look for in the text of one answer. */
export interface AnswerShape {
  /** The text ends before the first of these; none is empty. They are looked for neither in the reasoning nor in calls of tools. */
  readonly stop: readonly string[];
  /** null: all is text. */
  readonly marks: ReasoningMarks | null;
  /** Whether the prompt has opened the reasoning already. */
  readonly isInside?: boolean;
  /** Whether a grammar begins with the text. Text that the token of the closing mark has behind it is then none of it, and is not told. */
  readonly isFormed?: boolean;
  /** Absent: the model was told of no tools. */
  readonly tools?: ToolShape;
}

/** Whether there is anything to look for; else an engine emits its text as it comes. */
export function isShaped({ stop, marks, tools }: AnswerShape): boolean {
  return stop.length > 0 || marks !== null || tools !== undefined;
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
  /** null: all behind the reasoning is text. */
  readonly #tools: ToolReader | null;
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
    { stop, marks, isInside = false, isFormed = false, tools }: AnswerShape,
    emit: (delta: Delta, tokens: number) => void,
  ) {
    this.#emit = emit;
    this.#marks = marks;
    this.#close = new Search(marks === null ? [] : [marks.close]);
    this.#stop = new Search(stop);
    this.#isFormed = isFormed;
    const listener = {
      text: (text: string) => this.#giveText(text),
      call: (call: ToolCallDelta) => this.#giveCall(call),
    };
    this.#tools = tools === undefined ? null : new ToolReader(tools, listener);
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
    if (this.#tokens > 0) this.#tell(this.#nothing());
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
    else if (!this.#hasStopped && this.#tools?.end() === true) this.#hasStopped = true;
    if (this.#phase === "text" && !this.#hasStopped) this.#give("text", this.#stop.end());
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
      if (this.#tools === null) this.#giveText(text);
      else if (this.#tools.push(text)) this.#hasStopped = true;
    }
  }

  /** Up to a stop sequence. */
  #giveText(piece: string): void {
    if (this.#hasStopped) return;
    const { before, after } = this.#stop.push(piece);
    this.#hasStopped = after !== undefined;
    this.#give("text", before);
  }

  #giveCall(call: ToolCallDelta): void {
    if (this.#hasStopped) return;
    this.#give("text", this.#stop.end());
    this.#tell(call);
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
    if (text !== "") this.#tell({ kind, text });
  }

  /** In the order of deltas. */
  #nothing(): Delta {
    if (this.#tools?.hasCall === true) return { kind: "tool_call", index: 0, arguments: "" };
    return { kind: this.#phase === "reasoning" ? "reasoning" : "text", text: "" };
  }

  #tell(delta: Delta): void {
    const tokens = this.#tokens;
    this.#tokens = 0;
    this.#emit(delta, tokens);
  }
}

/** @param at where its first line that is not blank has its first character */
function withoutBlankLines(text: string, at: number): string {
  return text.slice(text.lastIndexOf("\n", at) + 1);
}
