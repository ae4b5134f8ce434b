/** Finds out which devices llama.cpp can compute on, in a process of its own so that no driver is loaded into the server. */
import { startedModule } from "../../common/started-module.ts";
import type { EngineOptions } from "../../engine/engine.ts";
import { startChild } from "../worker/child-environment.ts";

export interface Probe {
  /** The best that llama.cpp could open; false: nothing but the CPU. */
  readonly backend: EngineOptions["backend"];
  /** Of the GPUs, in that backend's order. */
  readonly names: readonly string[];
  /** Bytes over all of them. */
  readonly memoryTotal: number;
  /** Why its CUDA package, which is installed, cannot be loaded; null: it can, or is not there. */
  readonly cudaFault: string | null;
  /** Why llama.cpp cannot be opened at all, not even for the CPU: the end of a sentence; absent: it can. */
  readonly noBuild?: string;
  /** How the process ended that should have told; absent: it has told. */
  readonly death?: string;
}

/** The findings of a probe that finds nothing. */
export const NOTHING = { backend: false, names: [], memoryTotal: 0, cudaFault: null } as const satisfies Probe;

/** Milliseconds. */
const TIMEOUT = 30_000;

/**
 * Asks llama.cpp in a child process; one that dies or hangs has found nothing, and how it ended is told.
 * @param environment set for it beside what it inherits
 * @param inherit `gpu.worker_environment`
 */
export function probeLlama(
  environment: Readonly<Record<string, string>>,
  inherit: readonly string[] = [],
): Promise<Probe> {
  return new Promise((resolve) => {
    const child = startChild(startedModule("./probe-child", import.meta.url), {
      inherit,
      environment: { CUDA_DEVICE_ORDER: "PCI_BUS_ID", ...environment },
      stdio: ["ignore", "ignore", "ignore", "ipc"],
      // A driver can hang for good; the server must start all the same.
      timeout: TIMEOUT,
      killSignal: "SIGKILL",
    });
    let answer: Probe | null = null;
    child.on("message", (message) => {
      answer = message as Probe;
    });
    const end = (how: string): void => resolve(answer ?? { ...NOTHING, death: how });
    child.once("error", (error) => end(error.message));
    child.once("close", (code, signal) => end(signal === null ? `exit code ${code}` : `signal ${signal}`));
  });
}
