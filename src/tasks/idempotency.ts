/** Idempotency: a client that missed the answer sends its request again, and what it makes is made once for each key. */
import { AltLasError } from "../errors.ts";
import type { AnswerRecord, IdempotencyStore } from "../store/idempotency.ts";
import type { SubmitOptions } from "./task-api.ts";

/** Milliseconds for which a key is remembered. */
export const KEYS_LIVE = 24 * 3600 * 1000;

type Key = NonNullable<SubmitOptions["idempotency"]>;

/** An answer, which is stored as JSON. */
interface Answer {
  /** Set when an earlier request with the key was answered so. */
  readonly replayed: boolean;
}

interface UnderWay {
  readonly fingerprint: string;
  readonly answer: Promise<Answer>;
}

export class Idempotency {
  readonly #store: IdempotencyStore;
  readonly #now: () => number;
  readonly #underWay = new Map<string, UnderWay>();

  /** @param now the server's clock */
  constructor(store: IdempotencyStore, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  /**
   * Does what a request asks for. If that was done for its key before, or is about to be, the answer is the same as then.
   * @param make does it; it has to write the record of the answer together with what it makes
   * @throws {AltLasError} `conflict`: the key belongs to another request; what `make` throws, which leaves the key unused
   */
  async once<Given extends Answer>(
    user: string,
    key: Key,
    make: (recordOf: (answer: Given) => AnswerRecord) => Promise<Given>,
  ): Promise<Given> {
    const name = `${user}\n${key.key}`;
    const underWay = this.#underWay.get(name);
    if (underWay !== undefined) {
      // A fingerprint has the route, and each route has one type of answers.
      refuseOther(key, underWay.fingerprint);
      return { ...((await underWay.answer) as Given), replayed: true };
    }
    const answer = this.#recall(user, key, make);
    this.#underWay.set(name, { fingerprint: key.fingerprint, answer });
    try {
      return await answer;
    } finally {
      this.#underWay.delete(name);
    }
  }

  async #recall<Given extends Answer>(
    user: string,
    { key, fingerprint }: Key,
    make: (recordOf: (answer: Given) => AnswerRecord) => Promise<Given>,
  ): Promise<Given> {
    const known = await this.#store.find(user, key);
    if (known !== null && known.createdAt > this.#now() - KEYS_LIVE) {
      refuseOther({ key, fingerprint }, known.fingerprint);
      return { ...(JSON.parse(known.answer) as Given), replayed: true };
    }
    return make((answered) => ({
      kind: "idempotency",
      record: { user, key, fingerprint, answer: JSON.stringify(answered), createdAt: this.#now() },
    }));
  }
}

function refuseOther({ key, fingerprint }: Key, known: string): void {
  if (fingerprint === known) return;
  const sentence = `The Idempotency-Key ${JSON.stringify(key)} was used for another request within the last 24 hours; take a new key.`;
  throw new AltLasError("conflict", sentence);
}
