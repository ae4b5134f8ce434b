/** New machines at the server that leads: each token lets one in, under one name, and is told so twice when its answer was lost. */
import type { Logger } from "pino";
import { AltLasError, messageOf } from "../errors.ts";
import type { IdempotencyRecord } from "../store/idempotency.ts";
import type { Store } from "../store/store.ts";
import type { Bus } from "./bus.ts";
import { machineJwt, machineOf, madeAt } from "./credentials.ts";
import type { GpuIds } from "./gpu-ids.ts";
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
  isPresent(machine: string): Promise<boolean>;
  readonly ids: Pick<GpuIds, "knows" | "keyOf" | "lockOf" | "revoked" | "join">;
  /** A machine was let in: what is known of it has to outlive this server. @param hasRevoked whether others of its name were locked out by that */
  remembered(hasRevoked: boolean): Promise<void>;
}

/** Tokens that are looked at, at the same time: whoever has one may ask as often as it likes. */
const MOST = 64;
/** Bytes of what it asks. */
const MOST_BYTES = 4096;
const NOBODY = "";

export class Joins {
  readonly #parts: JoinsParts;
  /** Ids of tokens. */
  readonly #open = new Set<string>();
  /** Names of machines: of two that ask for one at once, the second sees that the first has it. */
  readonly #names = new Set<string>();

  constructor(parts: JoinsParts) {
    this.#parts = parts;
  }

  /** @returns what ends it */
  listen(): () => void {
    const hear = (message: object, token: string): void => void this.#hear(token, message);
    return this.#parts.bus.listen(`${JOINS}*`, hear, MOST_BYTES);
  }

  /** One that is not answered is asked again. */
  async #hear(token: string, message: object): Promise<void> {
    const { bus, log } = this.#parts;
    if (!isRequest(message) || this.#open.has(token) || this.#names.has(message.machine)) return;
    if (this.#open.size >= MOST) return;
    this.#open.add(token);
    this.#names.add(message.machine);
    try {
      bus.send(JOINED + token, await this.#answer(token, message));
    } catch (error) {
      log.error({ err: error }, `a machine could not join: ${messageOf(error)}`);
    } finally {
      this.#open.delete(token);
      this.#names.delete(message.machine);
    }
  }

  async #answer(token: string, request: JoinRequest): Promise<JoinAnswer> {
    const { seed, log, ids, remembered } = this.#parts;
    const { machine, key } = request;
    const revoked = this.#whyRevoked(request);
    if (revoked !== null) return { refused: revoked };
    const before = await this.#find(tokenKey(token));
    const refused = before === null ? await this.#whyNew(token, request) : whyAgain(before, request);
    if (refused !== null) return { refused };
    try {
      const jwt = await machineJwt(seed, machine, key);
      // An admin may have locked it out meanwhile.
      const locked = this.#whyRevoked(request) ?? this.#whyLocked(token, request);
      if (locked !== null) return { refused: locked };
      // Its name first: nobody else gets that when this server dies before the token is used.
      await remembered(ids.join(machine, key));
      if (before === null) await this.#use(token, request);
      log.info({ machine }, "a machine was let in with a token");
      return { jwt };
    } catch (error) {
      if (!(error instanceof AltLasError) || error.code !== "invalid_input") throw error;
      return { refused: `Machine ${machine} cannot join: ${error.message}.` };
    }
  }

  /** A name is given away once: whoever has it may speak for that machine. An admin may give it again, by a token with that name. */
  async #whyNew(token: string, { machine, key }: JoinRequest): Promise<string | null> {
    const { isPresent, ids } = this.#parts;
    const meant = machineOf(token);
    if (meant !== undefined && meant !== machine) return `The token is for machine ${meant}: --name ${meant}.`;
    if (await isPresent(machine))
      return `The cluster has a machine ${machine} that lives. Give this one another name: --name NAME.`;
    if (meant !== undefined) return null;
    if (!ids.knows(machine) || ids.keyOf(machine) === key) return null;
    return `The cluster knows a machine ${machine}. Give this one another name (--name NAME), or a token of its own: alt-las cluster token ${machine}.`;
  }

  #whyRevoked({ machine, key }: JoinRequest): string | null {
    return this.#parts.ids.revoked.includes(key) ? `The key of machine ${machine} was locked out. ${NEW_KEY}` : null;
  }

  /** A token that was made for its name since lets it in again, and no other one. */
  #whyLocked(token: string, { machine }: JoinRequest): string | null {
    const lock = this.#parts.ids.lockOf(machine);
    if (lock === null || (machineOf(token) !== undefined && madeAt(token) > lock.at)) return null;
    return `The token was made before machine ${machine} was locked out. ${ANOTHER}`;
  }

  #find(key: string): Promise<IdempotencyRecord | null> {
    return this.#parts.store.idempotency.find(NOBODY, key);
  }

  async #use(token: string, { machine, key: fingerprint }: JoinRequest): Promise<void> {
    const { store, now } = this.#parts;
    const record = { user: NOBODY, key: tokenKey(token), fingerprint, answer: machine, createdAt: now() };
    await store.save([], [{ kind: "idempotency", record }]);
  }
}

/** A token that has been used is for the same key and the same name alone. @returns one sentence; null: it is for them */
function whyAgain({ fingerprint, answer }: IdempotencyRecord, { machine, key }: JoinRequest): string | null {
  if (fingerprint === key && answer === machine) return null;
  return `The token has been used, by machine ${answer}: a token lets one machine in. ${ANOTHER}`;
}

const ANOTHER = "alt-las cluster token prints another one.";
const NEW_KEY = "Remove machine.creds and machine.nk in its data directory, and join with a new token.";

function tokenKey(token: string): string {
  return `token ${token}`;
}

function isRequest(message: object): message is JoinRequest {
  const { machine, key } = message as Partial<Record<keyof JoinRequest, unknown>>;
  return typeof machine === "string" && MACHINE_NAME.test(machine) && typeof key === "string" && key.length <= 100;
}
