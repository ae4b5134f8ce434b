/**
 * How much memory a model would take, before anything of it is loaded: for the decision which models are on a card together. A worker plans
 * exactly when it loads, and takes no more than there is.
 */
import type { Worker } from "node:worker_threads";
import { startThread } from "../common/threads.ts";
import { startedModule } from "../common/started-module.ts";
import type { EngineOptions, PlannedMemory } from "./engine.ts";
import { engineTraits } from "./kinds.ts";
import { batchSizeFor } from "./llama/batch.ts";
import { DEFAULT_CONTEXT, type FileShape, type FileShapeAnswer, KV_NUMBER } from "./llama/file-shape.ts";

/** Bytes: on a GPU what a driver takes of it for a process, on a CPU what a worker takes before it loads anything. */
const PROCESS = { gpu: 512 * 2 ** 20, cpu: 112 * 2 ** 20 };

/** Bytes of buffers that every model has. */
const SMALL_BUFFERS = 4 * 2 ** 20;

/** So many numbers for each token of a step and of the vocabulary: a CPU also holds what a GPU leaves in the memory of the machine. */
const LOGITS = { gpu: 1, cpu: 4 };

/** So many numbers for each token of a step and each number of its state, at most. */
const STATES = 32;

const FLOAT_BYTES = 4;

export type Estimated = Pick<
  EngineOptions,
  "kind" | "model" | "context" | "minContext" | "slots" | "backend" | "tuning" | "simulated"
>;

/** Bytes that a model takes on its device. */
export interface Estimate {
  /** With all slots and all the context that it should have. */
  readonly wanted: number;
  /** With one slot of the least context: with less memory it cannot be loaded. */
  readonly least: number;
}

/** null: its file cannot be read. */
export async function estimateOf(engine: Estimated): Promise<Estimate | null> {
  const { model: meaning } = engineTraits(engine.kind);
  if (meaning !== "file") {
    const bytes = meaning === "unused" ? engine.simulated.memory_bytes : 0;
    return { wanted: bytes, least: bytes };
  }
  const shape = await shapes.of(engine.model);
  if (shape === null) return null;
  const { slots, minContext } = engine;
  const { kvCacheType } = engine.tuning;
  const context = engine.context ?? Math.min(shape.trainContext ?? Infinity, DEFAULT_CONTEXT);
  return {
    wanted: bytesFor(engine, shape, { slots, context, kvCacheType: kvCacheType ?? "f16" }),
    least: bytesFor(engine, shape, {
      slots: 1,
      context: Math.min(context, minContext),
      kvCacheType: kvCacheType ?? "q8_0",
    }),
  };
}

/** Bytes that a loaded model takes, by the plan of its engine. */
export function takenBy({ kind, backend }: Estimated, { weights, kvCache, overhead }: PlannedMemory): number {
  // The plan for a GPU counts what its driver takes, and that for a CPU only what llama.cpp does.
  const process = engineTraits(kind).model === "file" && backend === false ? PROCESS.cpu : 0;
  return weights + kvCache + overhead + process;
}

function bytesFor(
  engine: Estimated,
  { bytes, kvNumbersPerToken, vocabulary, width, generates }: FileShape,
  { slots, context, kvCacheType }: Pick<Estimated, "slots"> & { context: number; kvCacheType: keyof typeof KV_NUMBER },
): number {
  const at = engine.backend === false ? "cpu" : "gpu";
  // As the engines do: a model for vectors sees an input as a whole, and the one inside a worker makes one vector at a time.
  const sequences = generates || engine.kind !== "llama" ? slots : 1;
  const step = generates ? batchSizeFor(engine, slots) : context;
  const logits = generates ? LOGITS[at] * vocabulary : 0;
  const kvCache = Math.ceil(kvNumbersPerToken * KV_NUMBER[kvCacheType]) * context * sequences;
  return bytes + kvCache + step * (logits + STATES * width) * FLOAT_BYTES + SMALL_BUFFERS + PROCESS[at];
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
    try {
      this.#thread ??= this.#start();
      this.#thread.postMessage(path, []);
    } catch {
      this.#answered(path, null);
    }
    return asked.promise;
  }

  #start(): Worker {
    const thread = startThread(startedModule("./llama/header-thread", import.meta.url));
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
