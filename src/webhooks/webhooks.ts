/** Tells others what became of tasks and batches: the one object that the rest of the server knows. */
import type { Clock } from "../common/clock.ts";
import { AltLasError } from "../errors.ts";
import { shown } from "../common/validation.ts";
import { callerLimit } from "../config/caller-limits.ts";
import type { Config } from "../config/config.ts";
import type { Logger } from "../log/log.ts";
import type { Delivery, Outbox, WebhookEndpoint } from "../store/outbox.ts";
import { Mutex } from "../common/mutex.ts";
import { type AddressRules, askedOnce, checkUrl, type Lookup, lookupAll } from "./address.ts";
import { Deliverer, type DelivererTiming } from "./deliverer.ts";
import { Destinations } from "./destinations.ts";
import { Endpoints, originOf } from "./endpoints.ts";
import { withLimit } from "./limit.ts";
import { PendingRoom } from "./pending-room.ts";
import { Secrets } from "./secrets.ts";
import type { SecretView, WebhookApi } from "./webhook-api.ts";

/** Milliseconds. */
export interface WebhookTiming extends DelivererTiming {
  /** A submission waits for name servers at most. */
  readonly check: number;
}

export const WEBHOOK_TIMING: WebhookTiming = {
  check: 5000,
  limit: 10_000,
  firstPause: 5000,
  longestPause: 10_800_000,
  round: 86_400_000,
  lookGap: 50,
  setback: 1000,
  addressPause: 1000,
  storePause: 5000,
};

export interface WebhooksOptions {
  readonly outbox: Outbox;
  /** `webhooks.allow_private`. */
  readonly allowPrivate: boolean;
  /** `webhooks.allow` and `webhooks.deny`; left out: empty. */
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
  /** `webhooks.pause_after`, seconds; left out or 0: none is paused. */
  readonly pauseAfter?: number;
  /** Says how many of a user may wait; left out: any number. */
  readonly live?: { readonly config: Pick<Config, "callers"> };
  readonly log: Logger;
  readonly clock: Clock;
  /** From [0, 1); this and what follows is for tests. */
  readonly random?: () => number;
  readonly lookup?: Lookup;
  readonly timing?: WebhookTiming;
}

export class Webhooks implements WebhookApi {
  readonly #outbox: Outbox;
  readonly #clock: Clock;
  readonly #timing: WebhookTiming;
  readonly #rules: AddressRules;
  readonly #secrets: Secrets;
  readonly #endpoints: Endpoints;
  readonly #deliverer: Deliverer;
  readonly #room: PendingRoom;
  readonly #redeliveries = new Mutex();
  readonly #ended = new AbortController();

  constructor(options: WebhooksOptions) {
    const { outbox, allowPrivate, live = null, log, clock, random = Math.random, timing = WEBHOOK_TIMING } = options;
    this.#outbox = outbox;
    this.#clock = clock;
    const now = (): number => clock.now();
    const ahead = (): number => clock.ahead;
    this.#timing = timing;
    this.#room = new PendingRoom(outbox, (user) => live && callerLimit(live.config.callers, user, "max_webhooks"));
    const { allow = [], deny = [], pauseAfter = 0, lookup = lookupAll } = options;
    this.#endpoints = new Endpoints({ outbox, pauseAfter: pauseAfter === 0 ? null : pauseAfter * 1000, now, log });
    this.#rules = {
      allowPrivate,
      lookup: askedOnce(lookup),
      allow: new Destinations(allow),
      deny: new Destinations(deny),
    };
    this.#secrets = new Secrets(outbox, now, ahead);
    this.#deliverer = new Deliverer({
      outbox,
      secrets: this.#secrets,
      rules: this.#rules,
      endpoints: this.#endpoints,
      timing,
      log,
      now,
      ahead,
      random,
    });
  }

  /** Begins to send, with what was pending before. */
  start(): void {
    this.#deliverer.start();
  }

  /** To be called when deliveries were written to the store. */
  wake(): void {
    this.#deliverer.wake();
  }

  /**
   * Cuts what is being sent, and resolves when nothing is left to do; the store is needed until then. Messages that were cut without an answer
   * counts as not tried. Calling it twice is harmless.
   */
  stop(): Promise<void> {
    this.#ended.abort();
    return this.#deliverer.stop();
  }

  /** Name servers that do not answer are no reason to refuse: each delivery checks again. */
  async check(url: string, user: string): Promise<readonly string[]> {
    await this.room(user);
    await withLimit(this.#timing.check, this.#ended.signal, (signal) => checkUrl(url, this.#rules, signal));
    return this.#endpoints.isPaused({ user, url }) ? [pausedWarning(url)] : [];
  }

  /** How many endpoints are paused. */
  get pausedEndpoints(): number {
    return this.#endpoints.paused;
  }

  async endpoints(user?: string): Promise<readonly WebhookEndpoint[]> {
    await this.#endpoints.load();
    const { ahead } = this.#clock;
    return this.#endpoints.list(user).map((endpoint) => ({
      ...endpoint,
      failingSince: endpoint.failingSince + ahead,
      pausedAt: endpoint.pausedAt === null ? null : endpoint.pausedAt + ahead,
    }));
  }

  async resume(user: string, origin: string | null, by: string): Promise<void> {
    await this.#endpoints.load();
    const count = this.#endpoints.resume(user, origin ?? undefined, by);
    if (origin !== null && count === 0) throw new AltLasError("not_found", noSuchEndpoint(user, origin));
    await this.#deliverer.saveEndpoints();
    this.wake();
  }

  room(user: string): Promise<void> {
    return this.#room.take(user);
  }

  secretOf(user: string): Promise<SecretView> {
    return this.#secrets.show(user);
  }

  rotateSecret(user: string): Promise<SecretView> {
    return this.#secrets.rotate(user);
  }

  /** Holds nothing more against the endpoints of a user, whose rows go. */
  forget(user: string): void {
    this.#endpoints.forget(user);
  }

  async deliveriesOf(subject: string): Promise<readonly Delivery[]> {
    return (await this.#outbox.deliveriesOf(subject)).map((delivery) => this.#shown(delivery));
  }

  /** One that is being sent at this moment is not sent twice. For one that was still pending, the day of tries is not prolonged. */
  async redeliver(subject: string, id: string | null): Promise<readonly Delivery[]> {
    await this.#redeliveries.run(subject, () =>
      this.#deliverer.hold(subject, (busy) => this.#makePending(subject, id, busy)),
    );
    return this.deliveriesOf(subject);
  }

  /** With the time that the wall clock will show at the next try. */
  #shown(delivery: Delivery): Delivery {
    return { ...delivery, nextAt: delivery.nextAt + this.#clock.ahead };
  }

  async #makePending(subject: string, id: string | null, busy: ReadonlySet<string>): Promise<void> {
    const all = await this.#outbox.deliveriesOf(subject);
    const wanted = id === null ? all : all.filter((delivery) => delivery.id === id);
    if (wanted.length === 0) throw new AltLasError("not_found", noSuchDelivery(subject, id));
    const again = wanted.filter((delivery) => !busy.has(delivery.id));
    if (again.length === 0) return;
    const nextAt = this.#clock.now();
    for (const delivery of again) this.#endpoints.probeNext(delivery);
    await this.#outbox.write(
      again.map((delivery) => ({ kind: "delivery", delivery: { ...delivery, status: "pending", nextAt } })),
    );
  }
}

function noSuchDelivery(subject: string, id: string | null): string {
  return id === null ? `No webhook was sent about ${subject}.` : `There is no delivery ${id} about ${subject}.`;
}

function noSuchEndpoint(user: string, origin: string): string {
  return `No endpoint ${shown(origin)} of ${user} fails or is paused; GET /webhooks lists those that do.`;
}

function pausedWarning(url: string): string {
  return `Webhooks to ${originOf(url)} are paused, because none has arrived there for long: at most one an hour is tried. POST /webhooks/resume resumes them.`;
}
