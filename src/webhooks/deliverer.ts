/**
 * Sends pending deliveries when they are due, and writes what came of each try. A try that could not be written is made again: receivers
 * know repeated messages by their `webhook-id`.
 *
 * The store may hold a million pending ones, so only a window of them, those that are due first, is ever in memory:
 *  1. The window is read when something was written, when the next one is due, and when it is used up; never more often than every
 *     `lookGap`.
 *  2. From it those are sent that are due and for whose host there is room.
 *  3. When all of a full window waits for room at slow hosts, others may be hidden behind it. So these get a later turn, which is
 *     written, by how fast their hosts have answered. A host with a long queue holds up others by one look for each window of it,
 *     and by the time of its first answer.
 *  4. While the store does not take writes, nothing is sent: it would be sent again and again.
 */
import { messageOf } from "../errors.ts";
import { type Logger } from "../log.ts";
import { type Delivery, type DeliveryAttempt, type Store } from "../store/store.ts";
import { type AddressRules } from "./address.ts";
import { Lanes } from "./lanes.ts";
import { withLimit } from "./limit.ts";
import { send } from "./request.ts";
import { afterTry, type RetryRules, type RetryTiming } from "./rounds.ts";
import { type Secrets } from "./secrets.ts";
import { signedHeaders } from "./signature.ts";

/** Milliseconds. */
export interface DelivererTiming extends RetryTiming {
  /** For everything of one try. */
  readonly limit: number;
  /** Between two looks into the store, at least. */
  readonly lookGap: number;
  /** Until a store that failed is asked again. */
  readonly storePause: number;
}

export interface DelivererOptions extends RetryRules {
  readonly store: Pick<Store, "save" | "pendingDeliveries">;
  readonly secrets: Pick<Secrets, "signing">;
  readonly rules: AddressRules;
  readonly timing: DelivererTiming;
  readonly log: Logger;
}

/** Sent at once, at most. */
const MAX_SENDING = 32;
/** Deliveries in memory, at most, beside those being sent. */
const WINDOW = 256;
/** So many of them that wait for room leave little to be seen of others: the store also shows those being sent. */
const CROWDED = WINDOW / 2;
/** Milliseconds; timers cannot be set for a month. */
const LONGEST_TIMER = 3_600_000;

export class Deliverer {
  readonly #options: DelivererOptions;
  readonly #lanes = new Lanes();
  /** What the last look showed and is not sent yet, those that are due first in front. */
  #window: readonly Delivery[] = [];
  /** The last look showed as many as it could, so there may be more. */
  #more = false;
  /** Being sent or written. */
  readonly #busy = new Map<string, Delivery>();
  #sending = 0;
  /** Written since the last look began, which may show them as they were before. */
  #written = new Set<string>();
  /** Subjects about which nothing may be begun. */
  readonly #held = new Set<string>();
  /** What came of tries that could not be written. */
  readonly #unsaved = new Map<string, Delivery>();
  /** The store failed, and has not been seen to work since. */
  #troubled = false;
  #looking = false;
  #timer: NodeJS.Timeout | undefined;
  /** Unix milliseconds for which the timer is set. */
  #nextLook = Infinity;
  /** Milliseconds on the monotonic clock. */
  #lookedAt = -Infinity;
  #started = false;
  readonly #ended = new AbortController();
  /** All that goes on. None of it rejects. */
  readonly #work = new Set<Promise<void>>();
  #stopping: Promise<void> | undefined;

  constructor(options: DelivererOptions) {
    this.#options = options;
  }

  /** Begins, with what was pending before. */
  start(): void {
    this.#started = true;
    this.wake();
  }

  /** To be called when a delivery was written to the store. */
  wake(): void {
    // Not `now()`: when the clock was set, that may be later than what the timer is set for.
    this.#lookAt(-Infinity);
  }

  /**
   * Runs work that changes deliveries about a subject, while none of them is begun.
   * @param work gets those that are being sent already
   */
  async hold<T>(subject: string, work: (busy: ReadonlySet<string>) => Promise<T>): Promise<T> {
    this.#held.add(subject);
    const busy = [...this.#busy.values()].filter((delivery) => delivery.subject === subject);
    try {
      return await work(new Set(busy.map(({ id }) => id)));
    } finally {
      this.#held.delete(subject);
      this.wake();
    }
  }

  /**
   * Cuts what is being sent, and resolves when nothing is left to do. A try that was cut without an answer counts as not made, since
   * its receiver did nothing wrong: it is the first thing after the next start. Calling it twice is harmless.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#ended.abort();
    clearTimeout(this.#timer);
    while (this.#work.size > 0) await Promise.all(this.#work);
    await this.#saveUnsaved().catch(() => undefined);
  }

  get #stopped(): boolean {
    return this.#ended.signal.aborted;
  }

  #track(work: Promise<void>): void {
    this.#work.add(work);
    void work.then(() => this.#work.delete(work));
  }

  /** @param at Unix milliseconds */
  #lookAt(at: number): void {
    if (!this.#started || this.#stopped || at >= this.#nextLook) return;
    this.#nextLook = at;
    // It sets the timer when it is done.
    if (this.#looking) return;
    clearTimeout(this.#timer);
    const gap = this.#lookedAt + this.#options.timing.lookGap - performance.now();
    const wait = Math.max(at - this.#options.now(), gap, 0);
    this.#timer = setTimeout(() => this.#track(this.#look()), Math.min(wait, LONGEST_TIMER));
  }

  async #look(): Promise<void> {
    this.#looking = true;
    this.#nextLook = Infinity;
    this.#lookedAt = performance.now();
    try {
      await this.#saveUnsaved();
      this.#written = new Set();
      this.#window = await this.#options.store.pendingDeliveries(WINDOW);
      this.#more = this.#window.length === WINDOW;
      this.#troubled = false;
    } catch (error) {
      this.#onTrouble(error);
    }
    this.#looking = false;
    const asked = this.#nextLook;
    this.#nextLook = Infinity;
    this.#lookAt(asked);
    this.#fill();
  }

  async #saveUnsaved(): Promise<void> {
    const unsaved = [...this.#unsaved.values()];
    if (unsaved.length === 0) return;
    await this.#save(unsaved);
    for (const { id } of unsaved) this.#release(id);
  }

  #save(deliveries: readonly Delivery[]): Promise<void> {
    return this.#options.store.save(
      [],
      deliveries.map((delivery) => ({ kind: "delivery", delivery })),
    );
  }

  /** Its state is written. */
  #release(id: string): void {
    this.#unsaved.delete(id);
    this.#busy.delete(id);
    this.#written.add(id);
  }

  #onTrouble(error: unknown): void {
    const { log, now, timing } = this.#options;
    if (!this.#troubled) log.error({ reason: messageOf(error) }, "webhooks wait, because the store does not work");
    this.#troubled = true;
    this.#lookAt(now() + timing.storePause);
  }

  /** Sends what can be sent now, and sees to it that the rest will be. */
  #fill(): void {
    if (this.#stopped || this.#troubled) return;
    const now = this.#options.now();
    this.#window = this.#window.filter(({ id }) => !this.#busy.has(id) && !this.#written.has(id));
    for (const delivery of this.#window) {
      if (delivery.nextAt > now || this.#sending === MAX_SENDING) break;
      if (!this.#held.has(delivery.subject)) this.#sendIfRoom(delivery);
    }
    this.#window = this.#window.filter(({ id }) => !this.#busy.has(id));
    // When one of them ends, this is called again.
    if (this.#sending < MAX_SENDING) this.#expectMore(now);
  }

  /** There is room for more, but what is due in the window waits for room at its host. */
  #expectMore(now: number): void {
    const later = this.#window.find(({ nextAt }) => nextAt > now);
    if (later !== undefined) this.#lookAt(later.nextAt);
    else if (this.#more && this.#window.length < CROWDED) this.#lookAt(now);
    else if (this.#more) this.#postpone(now);
  }

  /** Lets others be seen. Until a first try is over, nobody knows how slow a host is; the end of one calls this again. */
  #postpone(now: number): void {
    const later: Delivery[] = [];
    for (const delivery of this.#window) {
      const turn = this.#lanes.nextTurn(laneOf(delivery), now);
      if (turn !== null) later.push({ ...delivery, nextAt: turn });
    }
    if (later.length === 0) return;
    for (const delivery of later) this.#busy.set(delivery.id, delivery);
    this.#window = this.#window.filter(({ id }) => !this.#busy.has(id));
    this.#track(this.#writePostponed(later));
  }

  async #writePostponed(deliveries: readonly Delivery[]): Promise<void> {
    try {
      await this.#save(deliveries);
    } catch (error) {
      this.#onTrouble(error);
    }
    for (const { id } of deliveries) this.#release(id);
    this.#lookAt(this.#options.now());
  }

  #sendIfRoom(delivery: Delivery): void {
    const host = laneOf(delivery);
    if (!this.#lanes.hasRoom(host)) return;
    this.#lanes.enter(host);
    this.#sending++;
    this.#busy.set(delivery.id, delivery);
    this.#track(this.#deliver(delivery, host));
  }

  async #deliver(delivery: Delivery, host: string): Promise<void> {
    const began = performance.now();
    try {
      await this.#try(delivery);
    } catch (error) {
      this.#onTrouble(error);
    }
    if (!this.#unsaved.has(delivery.id)) this.#release(delivery.id);
    this.#lanes.leave(host, performance.now() - began, this.#options.now());
    this.#sending--;
    this.#fill();
  }

  /** @throws when the store fails */
  async #try(delivery: Delivery): Promise<void> {
    const keys = await this.#options.secrets.signing(delivery.user);
    const attempt = await this.#attempt(delivery, keys);
    if (attempt.status === null && this.#stopped) return;
    const after = afterTry(delivery, attempt, this.#options);
    this.#tell(after);
    try {
      await this.#save([after]);
    } catch (error) {
      // In memory it keeps being busy, so that it is not sent again before it is written.
      this.#unsaved.set(after.id, after);
      throw error;
    }
    if (after.status === "pending") this.#lookAt(after.nextAt);
  }

  async #attempt({ id, url, body }: Delivery, keys: readonly string[]): Promise<DeliveryAttempt> {
    const { rules, timing, now } = this.#options;
    const at = now();
    const began = performance.now();
    const headers = signedHeaders({ id, timestamp: Math.floor(at / 1000), body }, keys);
    const answer = await withLimit(timing.limit, this.#ended.signal, (signal) =>
      send({ url, body, headers }, rules, signal),
    );
    return { at, ...answer, duration: Math.round(performance.now() - began) };
  }

  #tell(delivery: Delivery): void {
    const { id, status, attempts } = delivery;
    const fields = { delivery: id, host: laneOf(delivery), tries: attempts.length, ...attempts.at(-1) };
    if (status === "failed") this.#options.log.warn(fields, "a webhook was given up");
    else
      this.#options.log.debug(fields, status === "delivered" ? "a webhook was delivered" : "a webhook failed for now");
  }
}

/** With its port; all that cannot be sent anywhere counts as one. */
function laneOf({ url }: Delivery): string {
  return URL.parse(url)?.host ?? "";
}
