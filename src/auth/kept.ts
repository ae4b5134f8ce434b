/**
 * Sign-ins of browsers and tickets of event streams, as the next server that leads a cluster finds them. Each is known by a hash, so who reads
 * them there can use none of them. Their bodies name their users, by whom the store finds them when it forgets one. A server that is alone keeps
 * them in memory alone.
 */
import { messageOf } from "../errors.ts";
import type { Logger } from "../log/log.ts";

export type KeptKind = "session" | "ticket";

/** A place for small texts. Its writes fail once another server leads. */
export interface KeptPlace {
  /** By their names, those that begin so. */
  sharedFiles(prefix: string): Promise<ReadonlyMap<string, string>>;
  /** @param body null: it is to go */
  putSharedFile(name: string, body: string | null): Promise<void>;
}

export class Kept {
  readonly #place: KeptPlace;
  readonly #log: Pick<Logger, "warn">;
  readonly #found: ReadonlyMap<string, string>;
  #isClosed = false;

  private constructor(place: KeptPlace, log: Pick<Logger, "warn">, found: ReadonlyMap<string, string>) {
    this.#place = place;
    this.#log = log;
    this.#found = found;
  }

  /** @throws {AltLasError} `store_unavailable` */
  static async open(place: KeptPlace, log: Pick<Logger, "warn">): Promise<Kept> {
    const kinds = await Promise.all([place.sharedFiles("session "), place.sharedFiles("ticket ")]);
    return new Kept(place, log, new Map(kinds.flatMap((found) => [...found])));
  }

  /** Those that earlier servers have left, by their ids. */
  left<T>(kind: KeptKind): Map<string, T> {
    const prefix = `${kind} `;
    const own = [...this.#found].filter(([name]) => name.startsWith(prefix));
    return new Map(own.map(([name, body]) => [name.slice(prefix.length), JSON.parse(body) as T]));
  }

  /** Resolves when it is stored. @param body null: it has ended @throws {AltLasError} `store_unavailable` */
  put(kind: KeptKind, id: string, body: object | null): Promise<void> {
    return this.#place.putSharedFile(`${kind} ${id}`, body && JSON.stringify(body));
  }

  /** The same, where nobody can wait for it. */
  note(kind: KeptKind, id: string, body: object | null): void {
    if (this.#isClosed) return;
    this.put(kind, id, body).catch((error: unknown) =>
      this.#log.warn(`the next server to lead will not know of a ${kind}: ${messageOf(error)}`),
    );
  }

  /** Notes nothing any more: the place closes before the streams do, and to the next server those are still open. */
  close(): void {
    this.#isClosed = true;
  }
}
