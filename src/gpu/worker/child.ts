/** The worker process of one GPU: a shell around its `WorkerHost`. */
import { belongToParent, leaveParent, usedHere } from "./child-life.ts";
import { HEARTBEAT_MS, type ToWorker } from "./messages.ts";
import { WorkerHost } from "./worker-host.ts";

const host = new WorkerHost({
  // A channel that has closed ends this process anyway.
  send: (message, sent) => void process.send?.(message, undefined, {}, () => sent?.()),
  leave: leaveParent,
  fail(sentence) {
    console.error(sentence);
    process.exit(1);
  },
});

function beat(): void {
  host.beat(usedHere());
}

process.on("message", (message: ToWorker) => {
  if (message.type === "load") process.title = `alt-las worker gpu ${message.gpuId}`;
  host.receive(message);
});
belongToParent();
beat();
setInterval(beat, HEARTBEAT_MS);
