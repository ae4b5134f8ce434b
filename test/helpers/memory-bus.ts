/** A bus within this process, which loses, cuts and copies as a network may. */
import { setImmediate as turn } from "node:timers/promises";
import type { Bus, BusEvents } from "../../src/cluster/bus.ts";

interface Listener {
  readonly bus: MemoryBus;
  readonly subject: string;
  readonly heard: (message: object, last: string) => void;
}

/** The broker. */
export class Hub {
  readonly #listeners = new Set<Listener>();
  /** Whether a message is lost on its way. */
  loses: (subject: string, message: Record<string, unknown>) => boolean = () => false;
  /** Makes another message of one. */
  damages: (subject: string, message: Record<string, unknown>) => object = (_subject, message) => message;
  /** Whether a message comes twice. */
  doubles: (subject: string) => boolean = () => false;

  connect(): MemoryBus {
    return new MemoryBus(this);
  }

  add(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  send(from: MemoryBus, subject: string, message: object, nobody?: () => void): void {
    const text = JSON.stringify(this.damages(subject, JSON.parse(JSON.stringify(message)) as Record<string, unknown>));
    const last = subject.slice(subject.lastIndexOf(".") + 1);
    const matching = [...this.#listeners].filter(
      (one) =>
        one.bus !== from &&
        one.bus.isUp &&
        (one.subject === subject ||
          (one.subject.endsWith(".*") && one.subject.slice(0, -1) === subject.slice(0, -last.length))),
    );
    if (matching.length === 0) return void (nobody && setImmediate(nobody));
    if (this.loses(subject, JSON.parse(text))) return;
    for (let copies = this.doubles(subject) ? 2 : 1; copies > 0; copies--)
      for (const one of matching)
        setImmediate(() => {
          if (this.#listeners.has(one) && one.bus.isUp) one.heard(JSON.parse(text) as object, last);
        });
  }

  /** Removes all that a connection listens to, as when its process is killed. */
  kill(bus: MemoryBus): void {
    for (const one of this.#listeners) if (one.bus === bus) this.#listeners.delete(one);
  }
}

export class MemoryBus implements Bus {
  isUp = true;
  at = "nats://memory:4222";
  readonly #hub: Hub;
  readonly #watchers = new Set<BusEvents>();

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  send(subject: string, message: object, nobody?: () => void): void {
    if (this.isUp) this.#hub.send(this, subject, message, nobody);
  }

  listen(subject: string, heard: (message: object, last: string) => void): () => void {
    return this.#hub.add({ bus: this, subject, heard });
  }

  watch(events: BusEvents): () => void {
    this.#watchers.add(events);
    return () => void this.#watchers.delete(events);
  }

  /** Takes its connection away, or gives it back. */
  async set(isUp: boolean): Promise<void> {
    this.isUp = isUp;
    for (const { up, down } of this.#watchers) (isUp ? up : down)();
    await turn();
  }

  async close(): Promise<void> {
    this.isUp = false;
    this.#hub.kill(this);
  }
}
