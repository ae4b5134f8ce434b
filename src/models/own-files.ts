/**
 * Files fetched from elsewhere than the hub lie beside its repositories, in a folder that no hub's name can have:
 *
 *   alt-las/<key>/<file>             whole, or <file>.incomplete
 *   alt-las/<key>/<file>.json        where it came from, and its SHA-256
 *   .locks/alt-las/<key>.<file>.alt-las
 */
import { readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { isObject, valueIn } from "../common/json-values.ts";
import { replaceFile } from "./cached-repository.ts";
import type { FetchedFile } from "./fetched.ts";

/** Where a file came from. */
export interface Origin {
  readonly url: string;
  readonly etag: string | null;
  readonly sha256: string;
}

export class OwnFiles {
  readonly #folder: string;
  readonly #locks: string;
  readonly #key: string;

  /** @param cache the folder of the hub's cache. @param key a name of letters, digits, `.`, `_` and `-` */
  constructor(cache: string, key: string) {
    this.#key = key;
    this.#folder = join(cache, "alt-las", key);
    this.#locks = join(cache, ".locks", "alt-las");
  }

  path(file: string): string {
    return join(this.#folder, file);
  }

  partial(file: string): string {
    return `${this.path(file)}.incomplete`;
  }

  lock(file: string): string {
    return join(this.#locks, `${this.#key}.${file}.alt-las`);
  }

  /** null: it is not here. */
  async file(file: string): Promise<FetchedFile | null> {
    const path = this.path(file);
    const stats = await stat(path).catch(() => null);
    if (stats === null || !stats.isFile()) return null;
    const origin = valueIn(await readFile(`${path}.json`, "utf8").catch(() => ""));
    const sha256 = isObject(origin) && typeof origin.sha256 === "string" ? origin.sha256 : null;
    return { path, bytes: stats.size, sha256 };
  }

  async remove(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }

  async note(file: string, origin: Origin): Promise<void> {
    await replaceFile(`${this.path(file)}.json`, JSON.stringify(origin));
  }
}
