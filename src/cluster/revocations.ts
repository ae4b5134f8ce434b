/** Credentials of machines that the NATS servers are to refuse. They are told at once, and once more whenever a server begins to lead or has reached NATS anew. */
import type { Logger } from "pino";
import { wallTime } from "../common/clock.ts";
import { messageOf } from "../errors.ts";
import type { Bus } from "./bus.ts";
import { accountJwt, type OperatorKeys, systemCredentials, updatesOf } from "./credentials.ts";
import type { GpuIds } from "./gpu-ids.ts";
import { askNats } from "./nats-bus.ts";

export interface RevocationsParts {
  readonly urls: readonly string[];
  readonly bus: Pick<Bus, "watch">;
  readonly ids: Pick<GpuIds, "revoked">;
  /** Seed of the account. */
  readonly seed: string;
  readonly keys: OperatorKeys;
  readonly log: Logger;
}

/** Milliseconds between two tries to tell. */
const AGAIN = 1000;

export class Revocations {
  readonly #parts: RevocationsParts;
  #isTold = true;
  #turn: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  readonly #end: () => void;
  #isOver = false;

  constructor(parts: RevocationsParts) {
    this.#parts = parts;
    const again = (): void => {
      if (parts.ids.revoked.length > 0) void this.tell();
    };
    this.#end = parts.bus.watch({ up: again, down: () => {} });
    again();
  }

  /** Whether the NATS servers know of all of them. */
  get isTold(): boolean {
    return this.#isTold;
  }

  /** @returns whether they know now; if not, it is tried again until they do */
  tell(): Promise<boolean> {
    this.#isTold = false;
    const told = this.#turn.then(() => this.#tell());
    this.#turn = told;
    return told;
  }

  close(): void {
    this.#isOver = true;
    this.#end();
    clearTimeout(this.#timer);
  }

  async #tell(): Promise<boolean> {
    const { urls, ids, seed, keys, log } = this.#parts;
    clearTimeout(this.#timer);
    const { revoked } = ids;
    try {
      const { key, jwt } = await accountJwt(seed, keys.operator, revoked);
      const credentials = await systemCredentials(keys.system, key, wallTime());
      const place = { urls, credentials, name: "alt-las revocations", log };
      const fault = faultIn(await askNats(place, updatesOf(key), jwt));
      if (fault !== null) throw new Error(fault);
      this.#isTold = revoked.length === ids.revoked.length;
    } catch (error) {
      log.warn(`the NATS servers cannot be told whom to lock out, and are told again: ${messageOf(error)}`);
      if (!this.#isOver) this.#timer = setTimeout(() => void this.tell(), AGAIN).unref();
    }
    return this.#isTold;
  }
}

/** In the answer of a NATS server; null: it has done what it was told. */
function faultIn(answer: string): string | null {
  const { data, error } = JSON.parse(answer) as Partial<Record<"data" | "error", Readonly<Record<string, unknown>>>>;
  return data?.["code"] === 200 ? null : String(error?.["description"] ?? "they answer something else");
}
