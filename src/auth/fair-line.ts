/** Lets a few in at once, one of each lane, and the lanes in turn: who comes often waits for itself only. */
export class FairLine {
  readonly #room: number;
  readonly #ofLane: number;
  readonly #inAll: number;
  /** Those who wait, by lane; the lane whose turn it is comes first. A lane that nobody waits in is not there. */
  readonly #waiting = new Map<string, (() => void)[]>();
  /** Lanes of which somebody is in. */
  readonly #inside = new Set<string>();
  #waitingInAll = 0;

  /** @param limits how many are in at once, and how many may wait: in one lane, and in all */
  constructor({ room, ofLane, inAll }: { readonly room: number; readonly ofLane: number; readonly inAll: number }) {
    this.#room = room;
    this.#ofLane = ofLane;
    this.#inAll = inAll;
  }

  /** Whether one more may come to this lane. */
  hasRoomFor(lane: string): boolean {
    return this.#waitingInAll < this.#inAll && (this.#waiting.get(lane)?.length ?? 0) < this.#ofLane;
  }

  /** Does `work` when it is this lane's turn. */
  async run<T>(lane: string, work: () => Promise<T>): Promise<T> {
    await this.#enter(lane);
    try {
      return await work();
    } finally {
      this.#inside.delete(lane);
      this.#letIn();
    }
  }

  #enter(lane: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.set(lane, [...(this.#waiting.get(lane) ?? []), resolve]);
    this.#waitingInAll++;
    this.#letIn();
    return promise;
  }

  #letIn(): void {
    while (this.#inside.size < this.#room) {
      const lane = this.#waiting.keys().find((name) => !this.#inside.has(name));
      if (lane === undefined) return;
      const [next, ...others] = this.#waiting.get(lane)!;
      this.#waiting.delete(lane);
      if (others.length > 0) this.#waiting.set(lane, others);
      this.#waitingInAll--;
      this.#inside.add(lane);
      next!();
    }
  }
}
