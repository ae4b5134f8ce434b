import type { Config } from "../config/config.ts";
import type { TaskBook } from "./task-book.ts";

/** Makes what stops a server: it waits for the tasks that run, then releases what was started. Called again, it waits no longer. */
export function stopper(
  { server }: Pick<Config, "server">,
  tasks: Pick<TaskBook, "drain">,
  started: AsyncDisposableStack,
): () => Promise<void> {
  const hurry = new AbortController();
  let stopping: Promise<void> | null = null;
  const stop = async (): Promise<void> => {
    await tasks.drain(server.drain_timeout, hurry.signal);
    await started.disposeAsync();
  };
  return () => {
    if (stopping !== null) hurry.abort();
    stopping ??= stop();
    return stopping;
  };
}
