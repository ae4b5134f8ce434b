/** Log lines about an instance's worker. */
import type { Logger } from "pino";
import type { EngineInfo } from "../../engine/engine.ts";
import type { Outcome } from "../../task.ts";
import type { Death } from "../worker/worker.ts";

/** @param name what requests call its model */
export function logReady(log: Logger, name: string | null, info: EngineInfo, seconds: number | null): void {
  const { model, context, slots, device, memoryNote, settings } = info;
  const texts = settings.find((setting) => setting.name === "raw")?.reason;
  log.info({ name, model, context, slots, device, seconds, ...(texts !== undefined && { texts }) }, "worker ready");
  log.debug(
    { settings: settings.map((setting) => `${setting.name} ${setting.value}: ${setting.reason}`) },
    "how it computes",
  );
  if (memoryNote !== null) log.warn(memoryNote);
}

export function logKill(
  log: Logger,
  { pid, tasks }: { readonly pid: number | null; readonly tasks: number },
  sentence: string,
): void {
  log.error({ pid, tasks }, `${sentence} It is killed.`);
}

/** The end of a process that many workers share is told once for all, by who has started it. */
export function logDeath(log: Logger, { how, sharedDeaths }: Death): void {
  if (sharedDeaths === undefined) log.warn({ how }, "worker died");
}

/** The fault of its GPU that a check's outcome shows; null: none, as for a server that is full. */
export function faultIn(outcome: Outcome): string | null {
  if (outcome.status === "failed") return outcome.error.sentence;
  return outcome.status === "interrupted" && outcome.reason !== "gpu_full" ? outcome.sentence : null;
}
