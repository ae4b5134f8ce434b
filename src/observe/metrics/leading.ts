/** Whether a server leads its cluster, and the figures of one that does not. */
import { VERSION } from "../../common/version.ts";
import { Instruments } from "./instruments.ts";
import { countProcess, showProcess } from "./process.ts";

/** @returns what reads it, for a scrape */
export function showLeading(instruments: Instruments, leads: () => boolean): () => void {
  const leading = instruments.gauge(
    "cluster_leads",
    "Whether this server leads its cluster: 1, or 0 where it stands by.",
  );
  return () => leading.set(Number(leads()));
}

export class StandbyMetrics {
  readonly #instruments = new Instruments();
  readonly #reads = [showProcess(this.#instruments, VERSION), showLeading(this.#instruments, () => false)];
  readonly #ends = countProcess(this.#instruments);

  async scrape(): Promise<{ readonly contentType: string; readonly text: string }> {
    for (const read of this.#reads) read();
    return { contentType: this.#instruments.contentType, text: await this.#instruments.text() };
  }

  stop(): void {
    for (const end of this.#ends) end();
  }
}
