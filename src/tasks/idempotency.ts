/** Idempotency: a client that missed the answer sends its submission again, and one key makes its tasks once. */
import { AltLasError } from "../errors.ts";
import type { AnswerRecord, IdempotencyStore } from "../store/idempotency.ts";
import type { Submission, SubmitOptions } from "./task-api.ts";

/** Milliseconds for which a key is remembered. */
export const KEYS_LIVE = 24 * 3600 * 1000;

type Key = NonNullable<SubmitOptions["idempotency"]>;

interface UnderWay {
  readonly fingerprint: string;
  readonly submission: Promise<Submission>;
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
   * Makes the tasks of a submission. If its key has made them before, or is about to, the answer is the same as then.
   * @param submit makes them; it has to write the record of the answer together with them
   * @throws {AltLasError} `conflict`: the key belongs to another submission; what `submit` throws, which leaves the key unused
   */
  async once(
    user: string,
    key: Key,
    submit: (recordOf: (submission: Submission) => AnswerRecord) => Promise<Submission>,
  ): Promise<Submission> {
    const name = `${user}\n${key.key}`;
    const underWay = this.#underWay.get(name);
    if (underWay !== undefined) {
      refuseOther(key, underWay.fingerprint);
      return { ...(await underWay.submission), replayed: true };
    }
    const submission = this.#recall(user, key, submit);
    this.#underWay.set(name, { fingerprint: key.fingerprint, submission });
    try {
      return await submission;
    } finally {
      this.#underWay.delete(name);
    }
  }

  async #recall(
    user: string,
    { key, fingerprint }: Key,
    submit: Parameters<Idempotency["once"]>[2],
  ): Promise<Submission> {
    const known = await this.#store.find(user, key);
    if (known !== null && known.createdAt > this.#now() - KEYS_LIVE) {
      refuseOther({ key, fingerprint }, known.fingerprint);
      return { ...(JSON.parse(known.answer) as Submission), replayed: true };
    }
    return submit((answered) => ({
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
