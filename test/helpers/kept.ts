/** A place for sign-ins and tickets in memory. */
import { Kept, type KeptPlace } from "../../src/auth/kept.ts";

export class MemoryPlace implements KeptPlace {
  readonly files = new Map<string, string>();

  async sharedFiles(prefix: string): Promise<ReadonlyMap<string, string>> {
    return new Map([...this.files].filter(([name]) => name.startsWith(prefix)));
  }

  async putSharedFile(name: string, body: string | null): Promise<void> {
    if (body === null) this.files.delete(name);
    else this.files.set(name, body);
  }

  /** As the next server has it that begins to lead. */
  next(): Promise<Kept> {
    return Kept.open(this, { warn: () => {} });
  }
}
