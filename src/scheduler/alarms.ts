/** Events at a time to come: a binary heap, the earliest on top. */
import type { Task } from "../task.ts";

export interface Alarm {
  /** By the server's clock, as all times here. */
  readonly at: number;
  /** `deadline`: the task must be done; `queue`: it has waited long enough; `retry`: it may run again. */
  readonly kind: "deadline" | "queue" | "retry";
  readonly task: Task;
}

export class Alarms {
  readonly #heap: Alarm[] = [];

  /** Time of the earliest; Infinity: there is none. */
  get next(): number {
    return this.#heap[0]?.at ?? Infinity;
  }

  get size(): number {
    return this.#heap.length;
  }

  add(alarm: Alarm): void {
    const heap = this.#heap;
    let place = heap.push(alarm) - 1;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (heap[parent]!.at <= alarm.at) break;
      heap[place] = heap[parent]!;
      place = parent;
    }
    heap[place] = alarm;
  }

  /** Takes out the earliest if it is due; undefined: none is. @param now the server's clock */
  takeDue(now: number): Alarm | undefined {
    const top = this.#heap[0];
    if (top === undefined || top.at > now) return undefined;
    const last = this.#heap.pop()!;
    if (this.#heap.length > 0) this.#sink(last);
    return top;
  }

  /** Drops pointless alarms, so that a task that ended long ago does not stay in memory until its deadline. */
  keepOnly(matters: (alarm: Alarm) => boolean): void {
    const kept = this.#heap.filter(matters);
    this.#heap.length = 0;
    for (const alarm of kept) this.add(alarm);
  }

  /** Puts an alarm on top and lets it sink to its place. */
  #sink(alarm: Alarm): void {
    const heap = this.#heap;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.at < heap[child]!.at) child++;
      if (heap[child]!.at >= alarm.at) break;
      heap[place] = heap[child]!;
      place = child;
    }
    heap[place] = alarm;
  }
}
