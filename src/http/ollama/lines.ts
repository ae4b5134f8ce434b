/** Answers as lines of JSON: what Ollama's clients read a stream as. */
import { wallTime } from "../../common/clock.ts";
import type { Delta } from "../../output.ts";
import { jsonLine } from "../json-line.ts";
import type { Done } from "../openai/calls.ts";
import type { AnswerWriter, StreamKind } from "../openai/stream-kind.ts";
import type { OllamaFrame } from "../schemas/ollama-answers.ts";
import { timingOf } from "../use-views.ts";
import { viewOfToken } from "../views.ts";
import { viewOfCalls } from "./messages.ts";
import { inItsWords } from "./words.ts";

const NDJSON = "application/x-ndjson; charset=utf-8";

/** The content of one answer, or of a piece of it. */
export interface Said {
  readonly content: string;
  readonly thinking?: string;
  readonly calls?: ReturnType<typeof viewOfCalls>["calls"];
}

export interface LineOptions {
  /** As the request has called it. */
  readonly model: string;
  /** Whether what the model wrote for itself is part of the answer. */
  readonly thinks: boolean;
  /** The fields of a kind of call that say something. */
  readonly fields: (said: Said) => object;
}

const NOTHING: Said = { content: "" };

export function lineStream(options: LineOptions): StreamKind {
  return {
    contentType: NDJSON,
    // Empty lines and comments, other than in event streams, break clients.
    ping: pieceLine(options, NOTHING),
    begin: () => new Lines(options),
    failure: ({ code }, sentence) => `${jsonLine({ error: inItsWords(sentence), code })}\n`,
  };
}

class Lines implements AnswerWriter {
  readonly #options: LineOptions;

  constructor(options: LineOptions) {
    this.#options = options;
  }

  first(): string {
    return "";
  }

  piece(_index: number, delta: Delta): string {
    switch (delta.kind) {
      case "text": {
        const logprobs = delta.logprobs && { logprobs: delta.logprobs.map(viewOfToken) };
        return pieceLine(this.#options, { content: delta.text }, logprobs);
      }
      case "reasoning":
        return this.#options.thinks ? pieceLine(this.#options, { content: "", thinking: delta.text }) : "";
      default:
        // Clients want the arguments of a call as an object, which they are when all of it is there.
        return "";
    }
  }

  last(_index: number, task: Done): string {
    const { calls, text } = viewOfCalls(task.result.toolCalls ?? []);
    const called = calls.length > 0 || text !== "" ? pieceLine(this.#options, { content: text, calls }) : "";
    const { model, fields } = this.#options;
    return `${called}${jsonLine({ ...frameOf(model, task), ...fields(NOTHING) })}\n`;
  }

  end(): string {
    return "";
  }
}

function pieceLine({ model, fields }: LineOptions, said: Said, more: object = {}): string {
  return `${jsonLine({ model, created_at: now(), ...fields(said), ...more, done: false })}\n`;
}

function now(): string {
  return new Date(wallTime()).toISOString();
}

/** All of an answer at once. */
export function wholeOf({ result }: Done, thinks: boolean): Said {
  const { calls, text } = viewOfCalls(result.toolCalls ?? []);
  return {
    content: result.text + text,
    ...(thinks && result.reasoning !== undefined && { thinking: result.reasoning }),
    ...(calls.length > 0 && { calls }),
  };
}

/** The fields at the end of an answer beside its words. */
export function frameOf(model: string, task: Done): OllamaFrame {
  const { finishReason, promptTokens, completionTokens } = task.result;
  return {
    model,
    created_at: now(),
    done: true,
    done_reason: finishReason === "length" ? "length" : "stop",
    ...durationsOf(task),
    ...(promptTokens !== null && { prompt_eval_count: promptTokens }),
    eval_count: completionTokens,
  };
}

/** In nanoseconds. A task waits until its model is loaded, and longer where others are before it. */
export function durationsOf(task: Done) {
  const { queued, prompt, generation } = timingOf(task);
  const { executionTime } = task.result;
  return {
    total_duration: nanoseconds(queued + executionTime),
    load_duration: nanoseconds(queued),
    prompt_eval_duration: nanoseconds(prompt ?? executionTime),
    eval_duration: nanoseconds(generation ?? 0),
  };
}

function nanoseconds(seconds: number): number {
  return Math.round(seconds * 1e9);
}

/** The answer to a call without a prompt. */
export function emptyFrame(model: string, reason: "load" | "unload"): OllamaFrame {
  return { model, created_at: now(), done: true, done_reason: reason };
}
