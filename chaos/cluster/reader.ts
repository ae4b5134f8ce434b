/** Reads the events of a task, and goes on at another server with `Last-Event-ID` whenever one says nothing more. */
import { setTimeout as sleep } from "node:timers/promises";
import type { TaskView } from "../../src/http/schemas/tasks.ts";
import { parseEvent, type ServerEvent } from "../../test/helpers/events.ts";
import type { Server } from "../../test/helpers/server.ts";
import type { ClusterWorld } from "./world.ts";

/** Milliseconds without a word after which it asks another server. */
const PATIENCE = 5000;

export class Reader {
  readonly #world: ClusterWorld;
  readonly #task: string;
  #lastId: string | null = null;
  #attempt = 0;
  #text = "";
  #end: TaskView | null = null;

  constructor(world: ClusterWorld, task: string) {
    this.#world = world;
    this.#task = task;
  }

  /** As it was told; null: it was not. */
  get end(): TaskView | null {
    return this.#end;
  }

  /** Reads to the end. @returns a sentence: what was read is not the task's; null: it is. */
  async read(leave: AbortSignal): Promise<string | null> {
    while (!leave.aborted && this.#end === null) {
      // It is dead, or frozen, or cut off.
      await this.#readAt(this.#world.server).catch(() => {});
      await sleep(100);
    }
    if (this.#end === null) return `the events of task ${this.#task} have no end`;
    const { status, result, attempts } = this.#end;
    const isWhole = status !== "completed" || (this.#text === result?.text && this.#attempt === attempts.length);
    return isWhole ? null : `its events said "${this.#text}" in attempt ${this.#attempt}: ${JSON.stringify(this.#end)}`;
  }

  async #readAt({ url, key }: Server): Promise<void> {
    const silent = new AbortController();
    const late = setTimeout(() => silent.abort(), PATIENCE);
    try {
      const last = this.#lastId === null ? {} : { "last-event-id": this.#lastId };
      const headers = { authorization: `Bearer ${key}`, ...last };
      const response = await fetch(`${url}/api/v1/task/${this.#task}/events`, { headers, signal: silent.signal });
      if (!response.ok) return void (await response.body?.cancel());
      let text = "";
      for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
        late.refresh();
        const blocks = (text + chunk).split("\n\n");
        text = blocks.pop()!;
        for (const block of blocks) this.#take(parseEvent(block));
      }
    } finally {
      clearTimeout(late);
    }
  }

  #take(given: ServerEvent | null): void {
    if (given === null) return;
    const { event, id, data } = given;
    this.#lastId = id;
    if (event === "placed") {
      this.#attempt = data["attempt"] as number;
      this.#text = "";
    } else if (event === "token") this.#text += String(data["text"]);
    else this.#end = data as unknown as TaskView;
  }
}
