/** Clients of a cluster: they submit tasks again until they are answered, and remember what they were told. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { TaskSummary, TaskView } from "../../src/http/schemas/tasks.ts";
import type { Dice } from "../dice.ts";
import { Reader } from "./reader.ts";
import type { ClusterWorld } from "./world.ts";

export interface Accepted {
  readonly id: string;
  readonly text: string;
  readonly tokens: number;
  isCanceled: boolean;
  /** Its end, as a reader of its events was told it; null: nobody has read that. */
  told: TaskView | null;
}

const CLIENTS = 4;
/** Seconds, which no task needs: only a clock that was set can tell so. */
const TIMEOUT = 1800;
/** Milliseconds after which a client leaves that has no answer. */
const PATIENCE = 10_000;

export class Load {
  readonly accepted: Accepted[] = [];
  /** Of submissions with one key that are two tasks, and of readers that have read another thing than was stored. */
  readonly violations: string[] = [];
  readonly #world: ClusterWorld;
  readonly #dice: Dice;
  readonly #leave = new AbortController();
  readonly #readers: Promise<void>[] = [];
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

  /** @param patience milliseconds for those who read yet */
  async endReaders(patience: number): Promise<void> {
    const late = setTimeout(() => this.#leave.abort(), patience);
    await Promise.all(this.#readers);
    clearTimeout(late);
  }

  async #submitAll(): Promise<void> {
    while (this.#runs) {
      const tokens = this.#dice.between(1, 80);
      const text = `prompt ${this.#dice.between(0, 20)}`;
      const body = { text, max_length: tokens, ...(this.#dice.chance(0.3) && { timeout_seconds: TIMEOUT }) };
      const key = randomUUID();
      const id = await this.#submit(body, key);
      if (id === null) return;
      const task: Accepted = { id, text, tokens, isCanceled: false, told: null };
      this.accepted.push(task);
      if (this.#dice.chance(0.2)) this.#read(task);
      if (this.#dice.chance(0.1)) {
        const again = await this.#submit(body, key);
        if (again !== null && again !== id) this.violations.push(`${id} and ${again} have one idempotency key`);
      }
      if (this.#dice.chance(0.1)) {
        task.isCanceled = true;
        await this.#try(() => this.#world.server.request("POST", `/api/v1/task/${id}/cancel`));
      }
      await sleep(this.#dice.between(0, 400));
    }
  }

  #read(task: Accepted): void {
    const reader = new Reader(this.#world, task.id);
    const read = async (): Promise<void> => {
      const fault = await reader.read(this.#leave.signal);
      task.told = reader.end;
      if (fault !== null) this.violations.push(fault);
    };
    this.#readers.push(read());
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

  /** null: the server was not there, or said nothing for so long that its client has left. */
  async #try<Answer>(ask: () => Promise<Answer>): Promise<Answer | null> {
    return Promise.race([ask().catch(() => null), sleep(PATIENCE, null, { ref: false })]);
  }
}
