/** Values of labels: each one makes series, which the server and Prometheus keep for ever, so none may have any number of them. */

/** Stands for all the values that have no series of their own. */
export const OTHERS = "others";
/** Of a task that has no model: it named none, and has not run. */
export const NONE = "none";

/** The first values that come are told apart. */
export class LabelValues {
  readonly #most: number;
  readonly #known = new Set<string>();

  constructor(most: number) {
    this.#most = most;
  }

  of(value: string | null): string {
    if (value === null) return NONE;
    if (this.#known.has(value)) return value;
    if (this.#known.size >= this.#most) return OTHERS;
    this.#known.add(value);
    return value;
  }
}
