/**
 * Keeps the lines of a GPU's first load from a terminal: they would come after the first screen, and push the key on it away, though
 * nobody has asked for them. All of them come at once when something goes wrong.
 */
import type { DestinationStream } from "pino";

/** Of pino's levels; what is above is a problem. */
const INFO = 30;
/** Lines that are kept; of more nobody could read the first ones. */
const MOST = 1000;

interface Line {
  readonly level: number;
  readonly msg?: string;
  readonly gpu?: number;
  readonly state?: string;
  readonly task?: unknown;
}

/** How far the first load on a GPU is. */
type Progress = "loading" | "ready" | "over";

/** @param destination takes lines in JSON @returns what takes all lines, and passes on those that are to be seen */
export function withoutStartLines(destination: DestinationStream): DestinationStream {
  const gpus = new Map<number, Progress>();
  let held: string[] | null = [];
  return {
    write(text: string): void {
      if (held === null) return destination.write(text);
      const line = JSON.parse(text) as Line;
      if (line.level > INFO) {
        for (const one of held) destination.write(one);
        held = null;
      } else if (isOfStart(line, gpus)) {
        if (held.length < MOST) held.push(text);
        return;
      }
      destination.write(text);
    },
  };
}

/** A line about a task is none, whatever its GPU does. */
function isOfStart({ gpu, task, msg, state }: Line, gpus: Map<number, Progress>): boolean {
  if (gpu === undefined || task !== undefined) return false;
  const before = gpus.get(gpu) ?? "loading";
  if (before === "over") return false;
  // Its worker says so only after the GPU has become ready, and may not say it at all.
  const isLast = msg === "worker ready";
  if (isLast || before === "ready") gpus.set(gpu, "over");
  else if (msg === "GPU state changed" && state !== "starting") gpus.set(gpu, "ready");
  return isLast || before === "loading";
}
