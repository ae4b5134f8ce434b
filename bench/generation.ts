/** The same work for an engine called directly and for a whole server, so that their figures can be compared. */
import { fork } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type EngineOptions } from "../src/engine/engine.ts";
import { type DirectOrder } from "./direct.ts";
import { type BenchServer } from "./server.ts";

const PROMPT = "Once upon a time there was a little dog";
/** Not 0, so that sampling is measured too. */
const TEMPERATURE = 0.7;
/** Tokens of each of the tasks beside which the time to the first token is measured. */
const NEIGHBOUR_LENGTH = 64;
/** Milliseconds between two samples: no multiple of a step, so that they meet it at any moment. */
const SAMPLE_PAUSE = 17;

/** Generates one text of at most `maxLength` tokens; resolves with the tokens it got. */
export type Generate = (request: { text: string; maxLength: number; temperature: number }) => Promise<number>;

/** Tokens a second of `tasks` tasks, of which `concurrent` are under way at any time, from the first call to the last end. */
export async function throughput(
  generate: Generate,
  work: { readonly tasks: number; readonly concurrent: number; readonly maxLength: number },
): Promise<number> {
  let tokens = 0;
  let begun = 0;
  const one = async (): Promise<void> => {
    while (begun++ < work.tasks) {
      const generated = await generate({ text: PROMPT, maxLength: work.maxLength, temperature: TEMPERATURE });
      tokens += generated;
    }
  };
  const started = performance.now();
  await Promise.all(Array.from({ length: work.concurrent }, one));
  return tokens / ((performance.now() - started) / 1000);
}

/** Milliseconds that tasks of one token take while `neighbours` others generate. */
export async function firstTokens(generate: Generate, neighbours: number, samples: number): Promise<number[]> {
  const over = new AbortController();
  const neighbour = async (): Promise<void> => {
    while (!over.signal.aborted)
      await generate({ text: PROMPT, maxLength: NEIGHBOUR_LENGTH, temperature: TEMPERATURE });
  };
  const around = Array.from({ length: neighbours }, neighbour);
  const times: number[] = [];
  while (times.length < samples) {
    await sleep(SAMPLE_PAUSE);
    const started = performance.now();
    await generate({ text: PROMPT, maxLength: 1, temperature: TEMPERATURE });
    times.push(performance.now() - started);
  }
  over.abort();
  await Promise.all(around);
  return times;
}

/** Through HTTP: the answer comes when the task has ended and its end is on disk. */
export function through(server: BenchServer): Generate {
  return async ({ text, maxLength, temperature }) => {
    const body = { text, max_length: maxLength, temperature };
    const task = await server.ask<Answer>("/api/v1/predict", body, { prefer: "wait=300" });
    if (task.result === undefined) throw new Error(`a task did not complete: ${JSON.stringify(task)}`);
    return task.result.usage.completion_tokens;
  };
}

interface Answer {
  readonly result?: { readonly usage: { readonly completion_tokens: number } };
}

/** An engine in a process of its own, which does what the order says without a server around it. */
export interface DirectEngine {
  do(order: DirectOrder): Promise<number[]>;
  stop(): Promise<void>;
}

export async function startDirect(engine: EngineOptions): Promise<DirectEngine> {
  const child = fork(join(import.meta.dirname, "direct.ts"));
  // Not "close", which never comes when it is the parent who hangs up.
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const ask = (message: object): Promise<number[]> =>
    new Promise((resolve, reject) => {
      const onEnd = (): void => reject(new Error("the engine's process ended"));
      child.once("exit", onEnd);
      child.once("message", (figures) => {
        child.off("exit", onEnd);
        resolve(figures as number[]);
      });
      child.send(message);
    });
  await ask(engine);
  return {
    do: ask,
    async stop(): Promise<void> {
      child.disconnect();
      await gone;
    },
  };
}
