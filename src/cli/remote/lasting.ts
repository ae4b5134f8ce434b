/** A task's events over connections that break: a task outlives a restart of its server, so whoever follows it does, too. */
import { setTimeout } from "node:timers/promises";
import { AltLasError } from "../../errors.ts";
import { eventsFrom, type Remote, type ServerEvent } from "./client.ts";

/** Milliseconds between two tries. */
const PAUSE = 1000;
/** Tries after which a server does not come back. */
const MOST = 120;

export interface LastingOptions {
  readonly signal: AbortSignal;
  /** Called when a connection has broken, and is going to be made anew. */
  readonly onLost: () => void;
  readonly pause?: number;
}

/**
 * The events of a task, from its beginning, each once.
 * @throws {AltLasError} as `eventsFrom`: the first connection fails, the server refuses, or does not come back
 */
export async function* lastingEvents(
  remote: Remote,
  id: string,
  { signal, onLost, pause = PAUSE }: LastingOptions,
): AsyncGenerator<ServerEvent> {
  let last = "";
  let tries = 0;
  let hasBegun = false;
  let isTold = false;
  while (true) {
    try {
      const onStart = (): void => void (hasBegun = true);
      const path = `task/${id}/events?last_event_id=${encodeURIComponent(last)}`;
      for await (const event of eventsFrom(remote, path, { signal, onStart })) {
        tries = 0;
        isTold = false;
        last = event.id ?? last;
        yield event;
      }
    } catch (error) {
      if (signal.aborted || !hasBegun || tries >= MOST || !mayComeBack(error)) throw error;
    }
    if (++tries > MOST)
      throw new AltLasError("bad_config", "The server ends the stream again and again before the task ends.");
    if (!isTold) onLost();
    isTold = true;
    await setTimeout(pause, undefined, { signal });
  }
}

/** No answer, one of a proxy whose server is away, or one of a server that stops or starts. */
function mayComeBack(error: unknown): boolean {
  return error instanceof AltLasError && (error.code === "bad_config" || error.status === 503);
}
