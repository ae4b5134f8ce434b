/** Tells operators what goes into the history of a GPU. */
import { OPERATOR_EVENT } from "../topics.ts";
import type { EventAbout } from "./card/health.ts";
import type { GpuEventRecord } from "./status.ts";

export function tellOfGpu(gpuId: number, { at, event, reason }: GpuEventRecord, { by, model }: EventAbout): void {
  if (!OPERATOR_EVENT.isHeard) return;
  const common = {
    at,
    gpuId,
    sentence: reason,
    ...(by !== undefined && { by }),
    ...(model !== undefined && { model }),
  };
  switch (event) {
    case "loaded":
    case "unloaded":
    case "load_failed":
      return OPERATOR_EVENT.publish({ ...common, kind: "model", event });
    default:
      OPERATOR_EVENT.publish({ ...common, kind: "gpu", event });
  }
}
