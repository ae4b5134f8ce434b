/** A task's text as it comes. */
import { said } from "../../words/terminal.ts";
import type { TaskView } from "../../http/schemas/tasks.ts";
import { AltLasError } from "../../errors.ts";
import { wrap } from "../table.ts";
import { linesOfCalls } from "./calls.ts";
import type { ServerEvent } from "./client.ts";
import { jsonText, legibleText } from "../../common/legible.ts";
import { painted, type Terminal } from "./terminal.ts";

/** Exit codes of a command that has waited for a task. */
export const EXIT_CODES = { completed: 0, failed: 2, canceled: 3 } as const;
/** Of a command that was interrupted, as shells have it for SIGINT. */
export const INTERRUPTED = 130;

const FINAL: readonly string[] = Object.keys(EXIT_CODES);

export interface Places {
  /** The text. */
  readonly out: Terminal;
  /** All that is told of it. */
  readonly err: Terminal;
}

/**
 * Writes a text while it is generated. Elsewhere than on a terminal it is written at the end and whole: a task that is tried again begins
 * its text anew, and what was written cannot be taken back.
 */
export class TextWriter {
  readonly #places: Places;
  readonly #isLive: boolean;
  #attempt = 0;
  /** The last piece; null: there was none in this attempt. */
  #last: { readonly isReasoning: boolean; readonly text: string } | null = null;

  constructor(places: Places) {
    this.#places = places;
    this.#isLive = places.out.columns !== null;
  }

  /** A GPU has the task. */
  placed({ attempt, gpu_id }: { readonly attempt: number; readonly gpu_id: number }): void {
    if (attempt > this.#attempt && this.#last !== null && this.#isLive) {
      this.#endLine();
      this.note(`It was cut off. GPU ${gpu_id} tries again (attempt ${attempt}), and the text begins anew:`);
      this.#last = null;
    }
    this.#attempt = attempt;
  }

  token({ text, reasoning }: { readonly text: string; readonly reasoning?: string }): void {
    if (!this.#isLive) return;
    const isReasoning = reasoning !== undefined;
    const piece = legibleText(reasoning ?? text);
    if (piece === "") return;
    const { out } = this.#places;
    if (this.#last !== null && this.#last.isReasoning !== isReasoning) out.write("\n\n");
    out.write(isReasoning ? painted("dim", piece, out.colour) : piece);
    this.#last = { isReasoning, text: piece };
  }

  /** Nothing comes any more. @param task as it ended; null: it has not */
  end(task: TaskView | null): void {
    if (this.#isLive) this.#endLine();
    else this.#writeLine(legibleText(task?.result?.text ?? ""));
    // Nobody can use a part of a call: it is told when it is whole.
    this.#writeLine(linesOfCalls(task?.result?.tool_calls ?? []));
  }

  #writeLine(text: string): void {
    if (text !== "") this.#places.out.write(text.endsWith("\n") ? text : `${text}\n`);
  }

  /** Tells something beside the text. */
  note(sentence: string): void {
    const { err } = this.#places;
    err.write(`${painted("dim", wrap(said(sentence), err.columns ?? Infinity), err.colour)}\n`);
  }

  #endLine(): void {
    if (this.#last !== null && !this.#last.text.endsWith("\n")) this.#places.out.write("\n");
  }
}

/** The receivers of a task's events. */
export interface Reader {
  readonly onEvent?: (event: ServerEvent) => void;
  readonly writer: TextWriter | null;
}

/**
 * Reads the events of a task up to its end.
 * @returns the task as it ended
 * @throws {AltLasError} `bad_config`: the stream ended before the task did
 */
export async function readToEnd(events: AsyncIterable<ServerEvent>, { onEvent, writer }: Reader): Promise<TaskView> {
  for await (const event of events) {
    onEvent?.(event);
    if (event.event === "placed") writer?.placed(event.data as { attempt: number; gpu_id: number });
    if (event.event === "token") writer?.token(event.data as { text: string; reasoning?: string });
    if (FINAL.includes(event.event)) return event.data as TaskView;
  }
  throw new AltLasError(
    "bad_config",
    "The server has ended the stream before the task ended: it stops, or was cut off.",
  );
}

/** An event as one line of NDJSON. */
export function eventLine({ event, id, data }: ServerEvent): string {
  return `${jsonText({ event, id, data })}\n`;
}

export function exitCodeOf({ status }: Pick<TaskView, "status">): number {
  return status === "completed" || status === "failed" || status === "canceled" ? EXIT_CODES[status] : 0;
}
