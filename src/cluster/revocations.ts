/**
 * Credentials of machines that the NATS servers are to refuse. The server that leads looks whether they know of all of them: when there is a new
 * one, when it begins to lead, when it has reached NATS anew, and each minute, as they may have lost it.
 *
 *  1. Their list only grows. A server that does not know yet that another one leads takes nothing back that this one has told.
 *  2. The server makes sure before it tells them, by a write that fails where another one leads, that it does lead, and that the next one knows
 *     the same.
 */
import type { Logger } from "pino";
import { wallTime } from "../common/clock.ts";
import { messageOf } from "../errors.ts";
import type { Bus } from "./bus.ts";
import {
  accountJwt,
  keyOf,
  lookupsOf,
  type OperatorKeys,
  revokedForEver,
  revokedIn,
  systemCredentials,
  updatesOf,
} from "./credentials.ts";
import type { GpuIds } from "./gpu-ids.ts";
import { askNats, type NatsQuestions } from "./nats-bus.ts";

export interface RevocationsParts {
  readonly urls: readonly string[];
  readonly bus: Pick<Bus, "watch">;
  readonly ids: Pick<GpuIds, "revoked">;
  /** Seed of the account. */
  readonly seed: string;
  readonly keys: OperatorKeys;
  readonly log: Logger;
  /** Milliseconds between two looks; left out: a minute. */
  readonly pause?: number;
  /** Stores what the next server to lead has to know. @throws {Error} also where another server leads */
  share(): Promise<void>;
}

/** Milliseconds between two tries to tell, and two looks at what was told. */
const AGAIN = 1000;
const LOOK = 60_000;

export class Revocations {
  readonly #parts: RevocationsParts;
  /** Of the list, those that the NATS servers know. */
  #told = 0;
  #turn: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  readonly #end: () => void;
  #isOver = false;

  constructor(parts: RevocationsParts) {
    this.#parts = parts;
    const again = (): void => void this.tell();
    this.#end = parts.bus.watch({ up: again, down: () => {} });
    again();
  }

  /** Whether the NATS servers know of all of them. */
  get isTold(): boolean {
    return this.#told === this.#parts.ids.revoked.length;
  }

  /** Tells what they do not know. @returns whether they know all now; if not, it is tried again until they do */
  tell(): Promise<boolean> {
    const told = this.#turn.then(() => this.#look());
    this.#turn = told;
    return told;
  }

  close(): void {
    this.#isOver = true;
    this.#end();
    clearTimeout(this.#timer);
  }

  async #look(): Promise<boolean> {
    const { urls, ids, seed, keys, log, pause = LOOK } = this.#parts;
    clearTimeout(this.#timer);
    try {
      if (ids.revoked.length > 0 && !this.#isOver) {
        const account = await keyOf(seed);
        const credentials = await systemCredentials(keys.system, account, wallTime());
        await askNats({ urls, credentials, name: "alt-las revocations", log }, (nats) => this.#ask(nats, account));
      }
    } catch (error) {
      log.warn(`the NATS servers cannot be told whom to lock out, and are told again: ${messageOf(error)}`);
    }
    if (!this.#isOver) this.#timer = setTimeout(() => void this.tell(), this.isTold ? pause : AGAIN).unref();
    return this.isTold;
  }

  async #ask(nats: NatsQuestions, account: string): Promise<void> {
    const { ids, seed, keys, share } = this.#parts;
    const { revoked } = ids;
    const known = await revokedIn(await nats.ask(lookupsOf(account)), keys.operator);
    if (!revoked.every((user) => Object.hasOwn(known, user))) {
      this.#told = 0;
      // Signed first: of two that NATS servers have, the one that was signed later counts for them.
      const { jwt } = await accountJwt(seed, keys.operator, { ...known, ...revokedForEver(revoked) });
      if (jwt.length > nats.most)
        throw new Error(
          `their list has ${jwt.length} bytes, and a message of theirs no more than ${nats.most}; raise max_payload in nats.conf, or begin anew with keys of a new alt-las cluster init`,
        );
      await share();
      if (this.#isOver) return;
      const fault = faultIn(await nats.ask(updatesOf(account), jwt));
      if (fault !== null) throw new Error(fault);
    }
    this.#told = revoked.length;
  }
}

/** In the answer of a NATS server; null: it has done what it was told. */
function faultIn(answer: string): string | null {
  const { data, error } = JSON.parse(answer) as Partial<Record<"data" | "error", Readonly<Record<string, unknown>>>>;
  return data?.["code"] === 200 ? null : String(error?.["description"] ?? "they answer something else");
}
