/** What may be larger than the rest of src, and why. The check fails as soon as one of these is no longer needed. */

/** Where it is, and its name where it is a function or a class. */
export interface Exception {
  readonly file: string;
  /** Absent: the file as a whole. */
  readonly name?: string;
  readonly reason: string;
}

const SPLITTING = "It is being split; nothing may be added to it.";

export const EXCEPTIONS: readonly Exception[] = [
  { file: "src/gpu/worker/worker.ts", reason: SPLITTING },
  { file: "src/store/sqlite/thread.ts", name: "serve", reason: SPLITTING },
  { file: "src/gpu/telemetry/monitor.ts", name: "GpuMonitor", reason: SPLITTING },
  { file: "src/http/server.ts", name: "createServer", reason: SPLITTING },
  { file: "src/http/bodies.ts", name: "readBody", reason: SPLITTING },
  { file: "src/http/pipelines.ts", name: "answerInTurn", reason: SPLITTING },
];
