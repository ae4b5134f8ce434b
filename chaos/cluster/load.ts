/** Clients of a cluster: they submit tasks again until they are answered, and remember what they were told. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { TaskSummary } from "../../src/http/schemas/tasks.ts";
import type { Dice } from "../dice.ts";
import type { ClusterWorld } from "./world.ts";

export interface Accepted {
  readonly id: string;
  readonly text: string;
  readonly tokens: number;
  isCanceled: boolean;
}

const CLIENTS = 4;

export class Load {
  readonly accepted: Accepted[] = [];
  /** By their keys: a submission is answered with the same task, however often it is sent. */
  readonly doubled: string[] = [];
  readonly #world: ClusterWorld;
  readonly #dice: Dice;
  #runs = true;
  #clients: Promise<void>[] = [];

  constructor(world: ClusterWorld, dice: Dice) {
    this.#world = world;
    this.#dice = dice;
  }

  start(): void {
    this.#clients = Array.from({ length: CLIENTS }, () => this.#submitAll());
  }

  async stop(): Promise<void> {
    this.#runs = false;
    await Promise.all(this.#clients);
  }

  async #submitAll(): Promise<void> {
    while (this.#runs) {
      const tokens = this.#dice.between(1, 80);
      const text = `prompt ${this.#dice.between(0, 20)}`;
      const key = randomUUID();
      const id = await this.#submit({ text, max_length: tokens }, key);
      if (id === null) return;
      const task = { id, text, tokens, isCanceled: false };
      this.accepted.push(task);
      if (this.#dice.chance(0.1)) {
        const again = await this.#submit({ text, max_length: tokens }, key);
        if (again !== null && again !== id) this.doubled.push(`${id} and ${again}`);
      }
      if (this.#dice.chance(0.1)) {
        task.isCanceled = true;
        await this.#try(() => this.#world.server.request("POST", `/api/v1/task/${id}/cancel`));
      }
      await sleep(this.#dice.between(0, 400));
    }
  }

  /** null: the load has ended. */
  async #submit(body: object, key: string): Promise<string | null> {
    for (;;) {
      const headers = { "idempotency-key": key };
      const answer = await this.#try(() =>
        this.#world.server.request<TaskSummary>("POST", "/api/v1/predict", { body, headers }),
      );
      if (answer?.status === 200) return answer.body.task_id;
      if (!this.#runs) return null;
      await sleep(200);
    }
  }

  /** null: the server was not there. */
  async #try<Answer>(ask: () => Promise<Answer>): Promise<Answer | null> {
    return ask().catch(() => null);
  }
}
