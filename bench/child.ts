/** A program of the benchmarks in a process of its own, which answers one message after the other. */
import { fork } from "node:child_process";
import { join } from "node:path";

export interface Child<Message> {
  readonly pid: number;
  /** @throws {Error} the process has ended first */
  ask<Answer>(message: Message): Promise<Answer>;
  stop(): Promise<void>;
}

/** @param program a file of this folder @param env all of its environment */
export function startChild<Message extends object>(program: string, env: NodeJS.ProcessEnv): Child<Message> {
  const child = fork(join(import.meta.dirname, program), { env });
  // Not "close", which never comes when it is the parent who hangs up.
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  return {
    pid: child.pid!,
    ask: (message) =>
      new Promise((resolve, reject) => {
        const onEnd = (): void => reject(new Error("the engine's process ended"));
        child.once("exit", onEnd);
        child.once("message", (answer) => {
          child.off("exit", onEnd);
          resolve(answer as never);
        });
        child.send(message);
      }),
    async stop(): Promise<void> {
      child.disconnect();
      await gone;
    },
  };
}
