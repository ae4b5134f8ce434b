/** New machines at the server that leads: each token lets one in, and is told so twice when its answer was lost. */
import type { Logger } from "pino";
import { AltLasError, messageOf } from "../errors.ts";
import type { IdempotencyRecord } from "../store/idempotency.ts";
import type { Store } from "../store/store.ts";
import type { Bus } from "./bus.ts";
import { machineJwt } from "./credentials.ts";
import { type JoinAnswer, type JoinRequest, JOINED, JOINS, MACHINE_NAME } from "./messages.ts";

export interface JoinsParts {
  readonly bus: Bus;
  /** Used tokens are stored like the keys of requests, which no user's name and a day divide from those. */
  readonly store: Pick<Store, "save" | "idempotency">;
  /** The server's clock. */
  readonly now: () => number;
  /** Of the cluster's account. */
  readonly seed: string;
  readonly log: Logger;
  /** Whether an agent of that name is here now. */
  isPresent(machine: string): boolean;
}

/** Tokens that are looked at, at the same time: whoever has one may ask as often as it likes. */
const MOST = 64;
const NOBODY = "";

export class Joins {
  readonly #parts: JoinsParts;
  /** By the ids of tokens. */
  readonly #open = new Set<string>();

  constructor(parts: JoinsParts) {
    this.#parts = parts;
  }

  /** @returns what ends it */
  listen(): () => void {
    return this.#parts.bus.listen(`${JOINS}*`, (message, token) => void this.#hear(token, message));
  }

  /** One that is not answered is asked again. */
  async #hear(token: string, message: object): Promise<void> {
    const { bus, log } = this.#parts;
    if (!isRequest(message) || this.#open.has(token) || this.#open.size >= MOST) return;
    this.#open.add(token);
    try {
      bus.send(JOINED + token, await this.#answer(token, message));
    } catch (error) {
      log.error({ err: error }, `a machine could not join: ${messageOf(error)}`);
    } finally {
      this.#open.delete(token);
    }
  }

  async #answer(token: string, { machine, key }: JoinRequest): Promise<JoinAnswer> {
    const { seed, log, isPresent } = this.#parts;
    const before = await this.#usedBy(token);
    if (before !== null && before.fingerprint !== key)
      return {
        refused: `The token has been used, by machine ${before.answer}: a token lets one machine in. ${ANOTHER}`,
      };
    if (before === null && isPresent(machine))
      return { refused: `The cluster has a machine ${machine} that lives. Give this one another name: --name NAME.` };
    try {
      const jwt = await machineJwt(seed, machine, key);
      if (before === null) await this.#use(token, machine, key);
      log.info({ machine }, "a machine was let in with a token");
      return { jwt };
    } catch (error) {
      if (!(error instanceof AltLasError) || error.code !== "invalid_input") throw error;
      return { refused: `Machine ${machine} cannot join: ${error.message}.` };
    }
  }

  #usedBy(token: string): Promise<IdempotencyRecord | null> {
    return this.#parts.store.idempotency.find(NOBODY, recordKey(token));
  }

  async #use(token: string, machine: string, key: string): Promise<void> {
    const { store, now } = this.#parts;
    const record = { user: NOBODY, key: recordKey(token), fingerprint: key, answer: machine, createdAt: now() };
    await store.save([], [{ kind: "idempotency", record }]);
  }
}

const ANOTHER = "alt-las cluster token prints another one.";

function recordKey(token: string): string {
  return `token ${token}`;
}

function isRequest(message: object): message is JoinRequest {
  const { machine, key } = message as Partial<Record<keyof JoinRequest, unknown>>;
  return typeof machine === "string" && MACHINE_NAME.test(machine) && typeof key === "string" && key.length <= 100;
}
