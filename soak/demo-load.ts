/** A second server, whose one CPU device generates with llama.cpp, and clients that wait, read along, leave and cancel. */
import { setTimeout as sleep } from "node:timers/promises";
import { Dice } from "../chaos/dice.ts";
import { type Report } from "../chaos/report.ts";
import { type TaskView } from "../src/http/schemas/tasks.ts";
import { type BenchServer } from "../bench/server.ts";

const CLIENTS = 4;
/** Beginnings that prompts share, so that prefixes are found again. */
const BEGINNINGS = ["Once upon a time there was a little dog", "The old king had three daughters", "In a small house"];

export class DemoLoad {
  readonly #server: BenchServer;
  readonly #report: Report;
  readonly #dice: Dice;
  readonly #over = new AbortController();
  #clients: Promise<void>[] = [];

  constructor(server: BenchServer, report: Report, dice: Dice) {
    this.#server = server;
    this.#report = report;
    this.#dice = dice;
  }

  start(): void {
    this.#clients = Array.from({ length: CLIENTS }, () => this.#run(this.#dice.fork()));
  }

  async stop(): Promise<void> {
    this.#over.abort();
    await Promise.all(this.#clients);
  }

  async #run(dice: Dice): Promise<void> {
    while (!this.#over.signal.aborted) {
      const act = dice.weigh<() => Promise<void>>([
        [4, () => this.#wait(dice)],
        [2, () => this.#readAlong(dice, false)],
        [1, () => this.#readAlong(dice, true)],
        [1, () => this.#cancel(dice)],
      ]);
      await act();
      await sleep(dice.between(0, 200));
    }
  }

  async #wait(dice: Dice): Promise<void> {
    const task = await this.#server.ask<TaskView>("/api/v1/predict", bodyOf(dice), { prefer: "wait=60" });
    this.#expectEnd(task, "completed");
  }

  async #cancel(dice: Dice): Promise<void> {
    const { task_id: id } = await this.#server.ask<TaskView>("/api/v1/predict", bodyOf(dice));
    await sleep(dice.between(0, 60));
    // A conflict is the answer when it has ended by then.
    await this.#server.ask(`/api/v1/task/${id}/cancel`, {}).catch(() => {});
    const task = await this.#server.ask<TaskView>(`/api/v1/task/${id}?wait=60`);
    this.#expectEnd(task, task.status === "canceled" ? "canceled" : "completed");
  }

  /** @param leaves whether the reader leaves in the middle, which stops the task */
  async #readAlong(dice: Dice, leaves: boolean): Promise<void> {
    const { host, port, authorization } = this.#server;
    const leave = new AbortController();
    const response = await fetch(`http://${host}:${port}/api/v1/predict`, {
      method: "POST",
      headers: { authorization, "content-type": "application/json" },
      body: JSON.stringify({ ...bodyOf(dice), stream: true, cancel_on_disconnect: true }),
      signal: leave.signal,
    });
    let events = 0;
    let text = "";
    const decoder = new TextDecoder();
    try {
      for await (const bytes of response.body!) {
        text = (text + decoder.decode(bytes, { stream: true })).slice(-4096);
        if (leaves && ++events === 3) leave.abort();
      }
    } catch {
      // It has left.
    }
    if (!leaves)
      this.#report.check("stream", text.includes("event: completed"), "a stream ended without its end", text);
  }

  #expectEnd(task: TaskView, status: string): void {
    this.#report.check("ended", task.status === status, `task ${task.task_id} is ${task.status}`, task);
  }
}

function bodyOf(dice: Dice): object {
  return { text: `${dice.pick(BEGINNINGS)} number ${dice.between(0, 9)}`, max_length: dice.between(4, 100) };
}
