/**
 * How much memory a model would take, before anything of it is loaded: for the decision which models are on a card together. A worker plans
 * exactly when it loads, and takes no more than there is.
 */
import { Worker } from "node:worker_threads";
import { type EngineOptions } from "./engine.ts";
import { engineTraits } from "./kinds.ts";
import { DEFAULT_CONTEXT, type FileShape, type FileShapeAnswer } from "./llama/file-shape.ts";

/** Bytes beside the weights and the KV cache: on a GPU also what a driver takes for a process. */
const OVERHEAD = { gpu: 768 * 2 ** 20, cpu: 64 * 2 ** 20 };

export type Estimated = Pick<EngineOptions, "kind" | "model" | "context" | "slots" | "backend" | "simulated">;

/** Bytes that a model takes on its device; null: its file cannot be read. */
export async function estimateOf(engine: Estimated): Promise<number | null> {
  const { model: meaning } = engineTraits(engine.kind);
  if (meaning === "unused") return engine.simulated.memory_bytes;
  if (meaning === "name") return 0;
  const shape = await shapes.of(engine.model);
  if (shape === null) return null;
  const context = engine.context ?? Math.min(shape.trainContext ?? Infinity, DEFAULT_CONTEXT);
  const overhead = engine.backend === false ? OVERHEAD.cpu : OVERHEAD.gpu;
  return shape.bytes + shape.kvBytesPerToken * context * engine.slots + overhead;
}

/** Reads headers in a thread, which ends when nothing more is asked. */
class Shapes {
  #thread: Worker | null = null;
  readonly #asked = new Map<string, PromiseWithResolvers<FileShape | null>>();

  of(path: string): Promise<FileShape | null> {
    const known = this.#asked.get(path);
    if (known !== undefined) return known.promise;
    const asked = Promise.withResolvers<FileShape | null>();
    this.#asked.set(path, asked);
    this.#thread ??= this.#start();
    this.#thread.postMessage(path, []);
    return asked.promise;
  }

  #start(): Worker {
    const thread = new Worker(new URL("./llama/header-thread.ts", import.meta.url));
    thread.on("message", ({ path, shape }: FileShapeAnswer) => this.#answered(path, shape));
    thread.on("error", () => {
      if (this.#thread === thread) for (const path of this.#asked.keys()) this.#answered(path, null);
    });
    return thread;
  }

  #answered(path: string, shape: FileShape | null): void {
    this.#asked.get(path)?.resolve(shape);
    this.#asked.delete(path);
    if (this.#asked.size > 0) return;
    void this.#thread?.terminate();
    this.#thread = null;
  }
}

const shapes = new Shapes();
