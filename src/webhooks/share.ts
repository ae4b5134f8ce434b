/**
 * Places that callers share. A caller may take another place only while it has fewer than are free. So a caller that is alone gets half of
 * them, and there is always room for another caller. (The dynamic threshold of Choudhury and Hahne,
 * "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", 1998, with the factor 1.)
 */
export class Share {
  readonly #places: number;
  readonly #taken = new Map<string, number>();
  #sum = 0;

  constructor(places: number) {
    this.#places = places;
  }

  /** Places that all callers have. */
  get sum(): number {
    return this.#sum;
  }

  /** Places that a caller has. */
  of(caller: string): number {
    return this.#taken.get(caller) ?? 0;
  }

  hasRoom(caller: string): boolean {
    return this.of(caller) < this.#places - this.#sum;
  }

  take(caller: string): void {
    this.#taken.set(caller, this.of(caller) + 1);
    this.#sum++;
  }

  giveBack(caller: string): void {
    const left = this.of(caller) - 1;
    if (left > 0) this.#taken.set(caller, left);
    else this.#taken.delete(caller);
    this.#sum--;
  }
}
