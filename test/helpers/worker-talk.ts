/** What a test says to a worker and hears from it, whatever the way to it is. */
import { textOf } from "../../src/output.ts";
import { EventEmitter, once } from "node:events";
import { type EngineOptions } from "../../src/engine/engine.ts";
import { type FromWorker, type RunRequest, type StepEnd, type ToWorker } from "../../src/gpu/worker/messages.ts";
import { completionOf } from "../../src/request.ts";

export function request(run: number, text: string, maxTokens: number): RunRequest {
  return { run, request: completionOf(text, { maxTokens, temperature: 0 }) };
}

/** One worker, and everything it has said. */
export abstract class WorkerTalk {
  readonly said: FromWorker[] = [];
  readonly #news = new EventEmitter();

  abstract send(message: ToWorker): void;

  /** For the way to the worker. */
  protected tell(message: FromWorker): void {
    this.said.push(message);
    this.#news.emit("message");
  }

  /** Waits for a message, also one that has come already. */
  async hear(isIt: (message: FromWorker) => boolean): Promise<FromWorker> {
    for (;;) {
      const found = this.said.find(isIt);
      if (found !== undefined) return found;
      await once(this.#news, "message");
    }
  }

  async load(engine: EngineOptions): Promise<FromWorker> {
    this.send({ type: "load", gpuId: 3, engine, proveCuda: false });
    return this.hear(({ type }) => type === "loaded" || type === "refused");
  }

  /** How the run ended, and its whole text. */
  async end(run: number): Promise<{ end: StepEnd; text: string; tokens: number }> {
    await this.hear((message) => message.type === "step" && message.ends.some((end) => end.run === run));
    const steps = this.said.filter((message) => message.type === "step");
    const pieces = steps.flatMap((step) => step.pieces).filter((piece) => piece.run === run);
    const end = steps.flatMap((step) => step.ends).find((candidate) => candidate.run === run)!;
    const tokens = pieces.reduce((sum, piece) => sum + piece.tokens, 0);
    return { end, text: pieces.map(textOf).join(""), tokens };
  }

  async firstPiece(run: number): Promise<void> {
    await this.hear((message) => message.type === "step" && message.pieces.some((piece) => piece.run === run));
  }
}
