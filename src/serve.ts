/** `alt-las serve`: starts the server, says how to use it, and stops it on a signal. */
import { greeting, type Origin } from "./greeting.ts";
import { type Logger } from "./log.ts";
import { type RunningServer, startServer } from "./main.ts";

/**
 * npm and a terminal each deliver the same signal, so one that follows sooner than this many milliseconds is the same one again;
 * a later one means "at once".
 */
const SAME_SIGNAL = 1000;

/** Runs a server until a signal stops it; the process ends with exit code 0 then, or 1 when the store was lost meanwhile. */
export async function serve(origin: Origin, log: Logger): Promise<void> {
  // From here on, because it may come while the server starts: its default would end the process.
  process.on("SIGHUP", () =>
    log.info("SIGHUP changes nothing: a new configuration or certificate counts from the next start; SIGTERM stops"),
  );
  const server = await startServer(origin.config, origin.dataDir, log);
  console.log(greeting(origin, server));
  let first = 0;
  const onSignal = (signal: string): void => {
    const now = performance.now();
    if (first !== 0 && now - first < SAME_SIGNAL) return;
    log.info(
      { signal },
      first === 0 ? "stopping: running tasks may finish, a second signal stops at once" : "stopping at once",
    );
    first = now;
    void end(server, log);
  };
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, onSignal);
}

async function end(server: RunningServer, log: Logger): Promise<never> {
  try {
    await server.stop();
    log.info("stopped");
    process.exit(server.lost.aborted ? 1 : 0);
  } catch (error) {
    log.fatal({ err: error }, "the stop failed");
    process.exit(1);
  }
}
