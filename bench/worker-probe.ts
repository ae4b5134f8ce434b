/* Loaded into a server's workers before their own code: they are killed when they have done their part, so each writes its CPU profile before that. */
import { writeFileSync } from "node:fs";
import { Session } from "node:inspector";
import { join } from "node:path";
import { isMainThread } from "node:worker_threads";

interface Said {
  readonly type?: string;
}

const { ALT_LAS_PROFILES: folder } = process.env;

if (isMainThread && process.send !== undefined && folder !== undefined) {
  const session = new Session();
  session.connect();
  session.post("Profiler.enable");
  session.post("Profiler.start");
  // The process that engines share gets the messages of each with whom it is for.
  process.on("message", (said: Said & { readonly message?: Said }) => {
    if ((said.message ?? said).type !== "stop") return;
    session.post("Profiler.stop", (error, { profile }) => {
      if (error === null) writeFileSync(join(folder, `worker.${process.pid}.cpuprofile`), JSON.stringify(profile));
    });
  });
}
