/**
 * The worker process of one GPU: a shell around its `WorkerHost`.
 *
 * It belongs to its parent. Signals are the parent's business, so those that a terminal or a service manager sends to the whole
 * group are ignored here; and when the channel closes, for whatever reason, the process ends at once.
 */
import { ignoreSignals } from "./child-environment.ts";
import { HEARTBEAT_MS, type ToWorker } from "./messages.ts";
import { WorkerHost } from "./worker-host.ts";

let leaving = false;

const host = new WorkerHost({
  // A channel that has closed ends this process anyway: see "disconnect".
  send: (message, sent) => void process.send?.(message, undefined, {}, () => sent?.()),
  leave() {
    leaving = true;
    if (process.connected) process.disconnect();
  },
  fail(sentence) {
    console.error(sentence);
    process.exit(1);
  },
});

function beat(): void {
  const { user, system } = process.cpuUsage();
  host.beat({ cpuSeconds: (user + system) / 1e6, residentBytes: process.memoryUsage.rss() });
}

process.on("message", (message: ToWorker) => {
  if (message.type === "load") process.title = `alt-las worker gpu ${message.gpuId}`;
  host.receive(message);
});
ignoreSignals();
process.on("disconnect", () => {
  // Without a parent there is nobody to work for. Only SIGKILL doesn't wait for what native code is doing on its threads.
  if (leaving) process.exit(0);
  process.kill(process.pid, "SIGKILL");
});
process.on("uncaughtException", (error) => {
  console.error(error);
  process.exit(1);
});
beat();
setInterval(beat, HEARTBEAT_MS);
