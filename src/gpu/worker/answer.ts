/** The text of one run, where it has to be of a form: whether it is, whatever engine it came from. */
import { EngineFailure } from "../../engine/failures.ts";
import { answerForms } from "../../engine/forms/answer-forms.ts";
import { SchemaThread, TooMuch } from "../../forms/schema-thread.ts";
import type { Delta } from "../../output.ts";
import type { AnswerFormat, JsonSchema, Request } from "../../request.ts";

/** Milliseconds that a check may take: a pattern of a schema may go through a text for ever. The run's slot waits for it. */
const LONGEST_CHECK = 2000;

/** Without what does not match: the sentences of failures are logged, and keys and texts of schemas are their senders' own. */
const STRICT =
  "The answer does not match its schema. Without strict the result has the text, and says what does not match.";

/** One for the process; its thread is started when the first answer is checked. */
const shared = new SchemaThread({ time: LONGEST_CHECK });

export class Answer {
  readonly #format: AnswerFormat | undefined;
  /** Whether a stop sequence may end the text before it is whole. */
  readonly #mayStop: boolean;
  /** The name of the worker that asks the thread. */
  readonly #by: string;
  readonly #thread: SchemaThread;
  #text = "";
  #hasCalls = false;

  /** @param by one worker's answers take turns with those of the others in this process */
  constructor(request: Request, by = "", thread = shared) {
    this.#by = by;
    this.#thread = thread;
    this.#format = request.kind === "embedding" ? undefined : request.format;
    this.#mayStop = request.sampling.stop !== undefined;
  }

  add(delta: Delta): void {
    if (this.#format === undefined) return;
    if (delta.kind === "text") this.#text += delta.text;
    if (delta.kind === "tool_call") this.#hasCalls = true;
  }

  /**
   * The fault of the whole text, as a sentence; null: it has none, or no form. Of an answer that calls tools, the text is no answer.
   * @param followedGrammar whether nothing else could come about, so that a grammar that says all needs no check
   * @throws {EngineFailure} `model_error`: the form is strict, and no stop sequence of the caller's may have cut the text
   */
  async mismatch(followedGrammar = false): Promise<string | null> {
    const format = this.#format;
    if (format === undefined || this.#hasCalls) return null;
    if (followedGrammar && !this.#mayStop && answerForms.isExact(format)) return null;
    if (format.kind === "json") return objectMismatch(this.#text);
    const mismatch = await this.#schemaMismatch(format.schema);
    if (mismatch !== null && format.strict && !this.#mayStop) throw new EngineFailure("model_error", STRICT);
    return mismatch;
  }

  async #schemaMismatch(schema: JsonSchema): Promise<string | null> {
    try {
      const reply = await this.#thread.ask(
        { kind: "check", schema: JSON.stringify(schema), text: this.#text },
        this.#by,
      );
      return reply.kind === "checked" ? reply.mismatch : null;
    } catch (error) {
      const why = error instanceof TooMuch ? error.message : "the check failed";
      return `The answer could not be checked against its schema: ${why}.`;
    }
  }
}

function objectMismatch(text: string): string | null {
  try {
    const value: unknown = JSON.parse(text);
    return value === null || typeof value !== "object" || Array.isArray(value)
      ? "The answer is JSON, but no object."
      : null;
  } catch {
    return "The answer is no JSON.";
  }
}
