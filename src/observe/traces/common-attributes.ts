import type { SpanBatch } from "./span-batch.ts";

/** Attributes that most spans have in common with the last one of their kind: they are encoded once. */
export class Common<Values extends readonly unknown[]> {
  readonly #write: (span: SpanBatch, ...values: Values) => void;
  #values: Values | null = null;
  #attributes: Uint8Array = new Uint8Array();

  /** @param write writes them; the same values give the same ones */
  constructor(write: (span: SpanBatch, ...values: Values) => void) {
    this.#write = write;
  }

  write(span: SpanBatch, ...values: Values): void {
    if (this.#has(values)) return span.add(this.#attributes);
    const { mark } = span;
    this.#write(span, ...values);
    this.#attributes = span.copy(mark);
    this.#values = values;
  }

  #has(values: Values): boolean {
    const known = this.#values;
    if (known === null) return false;
    for (let index = 0; index < values.length; index++) if (values[index] !== known[index]) return false;
    return true;
  }
}
