/** Reads the events of a task to the end, over however many connections and lives of the server that takes. */
import { type TaskView } from "../src/http/schemas/tasks.ts";
import { parseEvent, type ServerEvent } from "../test/helpers/events.ts";
import { type Api, type Flow } from "./api.ts";
import { type Ledger, type TaskRecord } from "./ledger.ts";
import { type Report } from "./report.ts";

export interface StreamParts {
  readonly api: Api;
  readonly ledger: Ledger;
  readonly report: Report;
  /** Aborts when every task should have ended long ago: readers leave then. */
  readonly leave: AbortSignal;
}

export class TaskStream {
  readonly #parts: StreamParts;
  readonly #task: TaskRecord;
  #lastId: string | null = null;
  #attempt = 0;
  #text = "";
  #final: TaskView | null = null;

  constructor(parts: StreamParts, task: TaskRecord) {
    this.#parts = parts;
    this.#task = task;
  }

  /**
   * @param flow of a connection that is open already
   * @param pieces after which the reader leaves; Infinity: it stays
   */
  async follow(flow: Flow | null, pieces = Infinity): Promise<void> {
    let left = pieces;
    for (let open = flow ?? (await this.#connect()); open !== "refused"; open = await this.#connect()) {
      if (this.#parts.leave.aborted) return;
      if (open === null) continue;
      left = await this.#read(open, left);
      if (this.#final !== null) return this.#compare(this.#final);
      if (left <= 0) return;
    }
  }

  async #connect(): Promise<Flow | "refused" | null> {
    const { api, report, leave } = this.#parts;
    const { id, user } = this.#task;
    const headers: Record<string, string> = this.#lastId === null ? {} : { "last-event-id": this.#lastId };
    const flow = await api.open(user, "GET", `/task/${id}/events`, { headers, signal: leave });
    if (flow === null || flow.response.status === 200) return flow;
    const sentence = `the events of task ${id} were answered with ${flow.response.status} after ${this.#lastId}`;
    const answer = await flow.response.text();
    report.check("kept", this.#task.removal !== "no", sentence, answer);
    return "refused";
  }

  /** @returns how many pieces the reader still wants */
  async #read({ response, life, askedAt }: Flow, pieces: number): Promise<number> {
    const { api, leave } = this.#parts;
    let text = "";
    let left = pieces;
    try {
      for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        const blocks = text.split("\n\n");
        text = blocks.pop()!;
        for (const event of blocks.map(parseEvent)) if (event !== null) this.#take(event, askedAt);
        left--;
        if (this.#final !== null || left <= 0) break;
      }
    } catch (error) {
      if (leave.aborted) return left;
      await api.expectDeath(life, `the events of task ${this.#task.id}`, error);
      return left;
    }
    // Only a server that stops closes a stream before the end.
    if (this.#final === null && left > 0)
      await api.expectDeath(life, `the events of task ${this.#task.id}`, "it was closed");
    return left;
  }

  #take({ event, id, data }: ServerEvent, askedAt: number): void {
    const { api, ledger, report } = this.#parts;
    const task = this.#task;
    this.#lastId = id;
    if (event === "placed") {
      const { attempt, gpu_id } = data as { attempt: number; gpu_id: number };
      const known = task.placed.get(attempt);
      const holds = attempt >= this.#attempt && (known === undefined || known === gpu_id);
      report.check("placed", holds, `task ${task.id} was placed on ${known} as attempt ${this.#attempt}`, data);
      task.placed.set(attempt, gpu_id);
      this.#attempt = attempt;
      this.#text = "";
    } else if (event === "token") {
      report.check("placed", this.#attempt > 0, `text of task ${task.id} came before it was placed`, data);
      this.#text += String(data["text"]);
    } else {
      this.#final = data as unknown as TaskView;
      ledger.observe(this.#final, askedAt, api.tick());
    }
  }

  #compare({ task_id, result, attempts, status }: TaskView): void {
    const { report } = this.#parts;
    if (status === "completed") {
      const holds = this.#attempt === attempts.length && this.#text === result?.text;
      report.check("stream", holds, `the stream of task ${task_id} said ${JSON.stringify(this.#text)}`, {
        result,
        attempts,
      });
    } else if (result !== undefined) {
      report.check("stream", this.#text === result.text, `the stream of task ${task_id} said ${this.#text}`, {
        result,
      });
    }
  }
}
