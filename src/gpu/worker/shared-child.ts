/** The process in which all engines run that compute elsewhere: a shell around its `SharedHosts`. */
import { setFlagsFromString } from "node:v8";
import { releaseStartMemory } from "../../common/start-memory.ts";
import { belongToParent, usedHere } from "./child-life.ts";
import { HEARTBEAT_MS } from "./messages.ts";
import { SharedHosts } from "./shared-hosts.ts";
import type { ToShared } from "./shared-messages.ts";

// undici reads HTTP by WebAssembly. V8 would compile that anew, and better, after some 200 answers, for which it takes 12 MiB and keeps them. Now
// it is after 28,000: a server that works for nobody but its own questions has as many in hours, a busy one in seconds.
setFlagsFromString("--wasm-tiering-budget=1800000000");

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
