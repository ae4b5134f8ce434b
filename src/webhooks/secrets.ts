/** The secrets that sign each user's webhooks. A secret is shown once; the store keeps it, because it is needed to sign. */
import type { Outbox, WebhookSecret } from "../store/outbox.ts";
import { Mutex } from "../common/mutex.ts";
import { newSecret } from "./signature.ts";
import type { SecretView } from "./webhook-api.ts";

/** Milliseconds for which the secret before signs too, so that receivers can be given the new one meanwhile. */
export const OVERLAP = 86_400_000;

export class Secrets {
  readonly #outbox: Pick<Outbox, "secret" | "write">;
  /** The server's clock. */
  readonly #now: () => number;
  readonly #ahead: () => number;
  /** Of each user: two that found none would each make one, and one of them would be shown and never used. */
  readonly #mutex = new Mutex();

  /** @param now the server's clock @param ahead milliseconds that the wall clock shows more */
  constructor(outbox: Pick<Outbox, "secret" | "write">, now: () => number, ahead: () => number = () => 0) {
    this.#outbox = outbox;
    this.#now = now;
    this.#ahead = ahead;
  }

  /** The user's secret, made when there is none; with the secret itself only the first time. */
  show(user: string): Promise<SecretView> {
    return this.#mutex.run(user, async () => {
      const stored = await this.#outbox.secret(user);
      if (stored?.shown) return this.#view(stored, false);
      // Written before it is told: shown twice would be worse than never, which a rotation heals.
      return this.#view(await this.#write({ ...(stored ?? this.#fresh(user)), shown: true }), true);
    });
  }

  /** Makes a new secret and shows it; the one before signs beside it for a day, those before that no longer. */
  rotate(user: string): Promise<SecretView> {
    return this.#mutex.run(user, async () => {
      const before = await this.#outbox.secret(user);
      const fresh = { ...this.#fresh(user), shown: true };
      if (before === null) return this.#view(await this.#write(fresh), true);
      const overlap = { previous: before.secret, previousUntil: this.#now() + OVERLAP };
      return this.#view(await this.#write({ ...fresh, ...overlap }), true);
    });
  }

  /** The secrets to sign with now, the newest first; a secret is made when there is none. */
  async signing(user: string): Promise<readonly string[]> {
    const stored = (await this.#outbox.secret(user)) ?? (await this.#mutex.run(user, () => this.#ensured(user)));
    return this.#overlaps(stored) ? [stored.secret, stored.previous!] : [stored.secret];
  }

  async #ensured(user: string): Promise<WebhookSecret> {
    return (await this.#outbox.secret(user)) ?? (await this.#write(this.#fresh(user)));
  }

  #fresh(user: string): WebhookSecret {
    const none = { previous: null, previousUntil: null, shown: false };
    return { user, secret: newSecret(), createdAt: this.#now() + this.#ahead(), ...none };
  }

  async #write(secret: WebhookSecret): Promise<WebhookSecret> {
    await this.#outbox.write([{ kind: "secret", secret }]);
    return secret;
  }

  #view(stored: WebhookSecret, withSecret: boolean): SecretView {
    return {
      secret: withSecret ? stored.secret : null,
      createdAt: stored.createdAt,
      previousUntil: this.#overlaps(stored) ? stored.previousUntil! + this.#ahead() : null,
    };
  }

  #overlaps({ previous, previousUntil }: WebhookSecret): boolean {
    return previous !== null && previousUntil !== null && this.#now() < previousUntil;
  }
}
