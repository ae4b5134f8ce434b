/* Loaded into a server's workers before their own code: they are killed when they have done their part, so each writes its CPU profile before that. */
import { writeFileSync } from "node:fs";
import { Session } from "node:inspector";
import { join } from "node:path";
import { isMainThread } from "node:worker_threads";

const { ALT_LAS_PROFILES: folder } = process.env;

if (isMainThread && process.send !== undefined && folder !== undefined) {
  const session = new Session();
  session.connect();
  session.post("Profiler.enable");
  session.post("Profiler.start");
  process.on("message", (message: { readonly type?: string }) => {
    if (message.type !== "stop") return;
    session.post("Profiler.stop", (error, { profile }) => {
      if (error === null) writeFileSync(join(folder, `worker.${process.pid}.cpuprofile`), JSON.stringify(profile));
    });
  });
}
