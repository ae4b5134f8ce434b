/** Threads of this process. */
import { Worker, type WorkerOptions } from "node:worker_threads";
import { AltLasError, messageOf } from "../errors.ts";

/** @throws {AltLasError} `overloaded`: the system lets this process start no more */
export function startThread(program: URL, options: WorkerOptions = {}): Worker {
  try {
    return new Worker(program, options);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_WORKER_INIT_FAILED") throw error;
    const sentence = `The system lets this server start no more threads (${messageOf(error)}): raise what its user or unit may have (ulimit -u, TasksMax).`;
    throw new AltLasError("overloaded", sentence, { cause: error });
  }
}
