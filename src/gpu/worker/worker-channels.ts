/** How a server's workers are started, by what their engines do. */
import type { Logger } from "pino";
import { engineTraits } from "../../engine/kinds.ts";
import type { OpenChannel } from "./channel.ts";
import { forkChannel } from "./fork-channel.ts";
import { SharedProcess } from "./shared-process.ts";

/** Engines that compute elsewhere share one process; each of the others has its own, which its crash or a driver may take along. */
export function workerChannels(log: Logger): OpenChannel {
  const shared = new SharedProcess({ log });
  return (options, events) => {
    const open = engineTraits(options.engine.kind).computes === "elsewhere" ? shared.open : forkChannel;
    return open(options, events);
  };
}
