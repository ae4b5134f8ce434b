/** The process that reads event streams: see read-streams.ts. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Arrivals, type Reading } from "./read-streams.ts";
import { type BenchServer } from "./server.ts";

/** Files that a process needs beside its connections. */
const OTHER_FILES = 200;

export interface Readers {
  /** What has come since it was asked the last time, or since all streams had begun. */
  arrivals(): Promise<Arrivals>;
  stop(): Promise<void>;
}

/** Opens the event streams of tasks; resolves when all have begun. @throws {Error} when the process ends before that */
export async function startReaders(
  { host, port, authorization }: BenchServer,
  ids: readonly string[],
): Promise<Readers> {
  const child = fork(join(import.meta.dirname, "read-streams.ts"));
  const gone = once(child, "exit");
  const answer = async (message: object): Promise<Arrivals> => {
    child.send(message);
    const [first] = await Promise.race([once(child, "message"), gone.then(() => [null])]);
    if (first === null) throw new Error("the reading process has ended");
    return first as Arrivals;
  };
  await answer({ host, port, authorization, ids } satisfies Reading);
  return {
    arrivals: () => answer({}),
    async stop(): Promise<void> {
      if (child.connected) child.disconnect();
      await gone;
    },
  };
}

/** As many connections as one process of this machine may have, with some room for its other files. */
export function mostSockets(): number {
  try {
    const [, most] = /^Max open files +\d+ +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return most === undefined ? Infinity : Number(most) - OTHER_FILES;
  } catch {
    return Infinity;
  }
}
