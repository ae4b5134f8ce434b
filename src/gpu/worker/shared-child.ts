/** The process in which all engines run that compute elsewhere: a shell around its `SharedHosts`. */
import { releaseStartMemory } from "../../common/start-memory.ts";
import { belongToParent, usedHere } from "./child-life.ts";
import { HEARTBEAT_MS } from "./messages.ts";
import { SharedHosts } from "./shared-hosts.ts";
import type { ToShared } from "./shared-messages.ts";

process.title = "alt-las worker upstreams";

const hosts = new SharedHosts({
  // A channel that has closed ends this process anyway.
  send(message, sent) {
    process.send?.(message, undefined, {}, () => sent?.());
    if ("message" in message && message.message.type === "loaded") releaseStartMemory();
  },
  use: usedHere,
});

process.on("message", (told: ToShared) => hosts.receive(told));
belongToParent();
setInterval(() => hosts.beat(), HEARTBEAT_MS);
