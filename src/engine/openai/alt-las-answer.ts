/** The answer to one attempt of a task on another ALT_LAS, as its events tell it: pieces, and an end that has all of it. */
import { isObject, textIn } from "../../common/json-values.ts";
import { UpstreamError } from "../upstream/upstream-error.ts";
import type { Answer } from "./answer.ts";

type Fields = Readonly<Record<string, unknown>>;

/** A call as it has come so far. */
interface ReceivedCall {
  readonly name: string;
  arguments: string;
}

export class AltLasAnswer {
  #text = "";
  #reasoning = "";
  /** Tokens that were told with their probabilities. */
  #tokens = 0;
  readonly #calls: ReceivedCall[] = [];

  /** Takes in a `token` event. @throws {UpstreamError} it makes no sense */
  piece(answer: Answer, { text, reasoning = "", tool_call: call, logprobs }: Fields): void {
    if (typeof text !== "string" || typeof reasoning !== "string")
      throw new UpstreamError(null, "it sent a piece of text that is none");
    this.#text += text;
    this.#reasoning += reasoning;
    this.#tell(answer, logprobs);
    if (call === undefined) answer.add(text, reasoning);
    else this.#call(answer, call);
  }

  /** Takes in the `completed` event, of which a piece may have been lost before. @throws {UpstreamError} it makes no sense */
  complete(answer: Answer, { result }: Fields): void {
    if (!isObject(result)) throw new UpstreamError(null, "it told an end without a result");
    const { text, reasoning = "", usage, finish_reason: reason, logprobs } = result;
    if (typeof text !== "string" || typeof reasoning !== "string")
      throw new UpstreamError(null, "it told an end without a text");
    if (!text.startsWith(this.#text) || !reasoning.startsWith(this.#reasoning))
      throw new UpstreamError(null, "it told an end with another text than it had sent");
    if (reason !== "stop" && reason !== "length") throw new UpstreamError(null, "it told an end without a reason");
    if (isObject(usage)) {
      const { prompt_tokens: prompt, completion_tokens: completion, cached_tokens: cached } = usage;
      answer.count({ prompt, completion, cached });
    }
    if (Array.isArray(logprobs)) this.#tell(answer, logprobs.slice(this.#tokens));
    // Of an empty one no piece has come.
    answer.add(text.slice(this.#text.length), reasoning.slice(this.#reasoning.length));
    this.#completeCalls(answer, result.tool_calls ?? []);
    answer.finish(reason);
  }

  #tell(answer: Answer, logprobs: unknown): void {
    if (!Array.isArray(logprobs)) return;
    this.#tokens += logprobs.length;
    answer.tell({ content: logprobs });
  }

  #call(answer: Answer, told: unknown): void {
    const { index, id, name, arguments: piece } = isObject(told) ? told : {};
    if (!isPlace(index, this.#calls.length) || typeof piece !== "string") throw unlikeSent();
    this.#calls[index] ??= { name: textIn(name) ?? "", arguments: "" };
    this.#calls[index].arguments += piece;
    this.#take(answer, { index, id, function: { name, arguments: piece } });
  }

  #completeCalls(answer: Answer, told: unknown): void {
    if (!Array.isArray(told) || told.length < this.#calls.length) throw unlikeSent();
    for (const [index, call] of told.entries()) {
      const received = this.#calls[index];
      const { id, function: inside } = isObject(call) ? call : {};
      const { name, arguments: all } = isObject(inside) ? inside : {};
      if (typeof all !== "string" || typeof name !== "string") throw unlikeSent();
      if (received === undefined) this.#take(answer, { index, id, function: inside });
      else if (received.name !== name || !all.startsWith(received.arguments)) throw unlikeSent();
      else if (all.length > received.arguments.length)
        this.#take(answer, { index, function: { arguments: all.slice(received.arguments.length) } });
    }
  }

  #take(answer: Answer, call: Fields): void {
    if (!answer.mayCall) throw new UpstreamError(null, "it told a call of a tool, for which it was not asked");
    answer.call([call]);
  }
}

function isPlace(index: unknown, known: number): index is number {
  return typeof index === "number" && Number.isInteger(index) && index >= 0 && index <= known;
}

function unlikeSent(): UpstreamError {
  return new UpstreamError(null, "it told calls of tools that make no sense, or other ones than it had sent");
}
