/**
 * Sends pending deliveries when they are due, and writes what came of each try. A try that could not be written is made again: receivers
 * know repeated messages by their `webhook-id`.
 *
 * The store may hold a million pending ones, so only a window of them, each user's that are due first, is ever in memory:
 *  1. The window is read when something was written, when the next one is due, and when it is used up; never more often than every
 *     `lookGap`.
 *  2. From it those are sent that are due and for whose host there is room, by turns: the next one is of a user that has the fewest under
 *     way. No user can take all places; a site that does not answer in time gets one try at a time.
 *  3. When all that is in the window of a user waits for room at slow hosts, others of that user may be hidden behind it. So these get a
 *     later turn, which is written, by how fast their hosts have answered. A host with a long queue holds up others of its user by one
 *     look for each window of it, and by the time of its first answer.
 *  4. A delivery that finds enough others on the way to its address counts as not tried, and gets a later turn.
 *  5. Deliveries due for a paused endpoint are noted as failed, without a try (endpoints.ts).
 *  6. While the store does not take writes, nothing is sent: it would be sent again and again.
 */
import { messageOf } from "../errors.ts";
import type { Logger } from "../log/log.ts";
import type { Delivery, DeliveryAttempt, Outbox } from "../store/outbox.ts";
import { StoreLost } from "../store/store.ts";
import type { AddressRules } from "./address.ts";
import { AddressPlaces } from "./address-places.ts";
import { lineOf } from "./delivery-line.ts";
import type { Endpoints } from "./endpoints.ts";
import { GivenUp } from "./given-up.ts";
import { laneOf, Lanes } from "./lanes.ts";
import { withLimit } from "./limit.ts";
import { tellBegins, tellTried } from "./delivery-news.ts";
import { type Answer, send } from "./request.ts";
import { afterTry, notTried, type RetryRules, type RetryTiming } from "./rounds.ts";
import type { Secrets } from "./secrets.ts";
import { Setbacks, siteKey } from "./setbacks.ts";
import { Share } from "./share.ts";
import { signedHeaders } from "./signature.ts";

/** Milliseconds. */
export interface DelivererTiming extends RetryTiming {
  /** For everything of one try. */
  readonly limit: number;
  /** Between two looks into the store, at least. */
  readonly lookGap: number;
  /** Until a store that failed is asked again. */
  readonly storePause: number;
  /** Until a site that did not answer in time is tried again; twice as long after each further time. */
  readonly setback: number;
  /** Until one is tried again for whose address there was no room. */
  readonly addressPause: number;
}

export interface DelivererOptions extends RetryRules {
  readonly outbox: Pick<Outbox, "write" | "pendingDeliveries">;
  readonly secrets: Pick<Secrets, "signing">;
  readonly rules: AddressRules;
  readonly endpoints: Endpoints;
  readonly timing: DelivererTiming;
  /** Milliseconds that the wall clock shows more than `now`. */
  readonly ahead: () => number;
  readonly log: Logger;
}

/** Places for all that is sent at once; half of them for a user that is alone. */
const MAX_SENDING = 64;
/** Deliveries of one user in memory, at most, beside those being sent. */
const WINDOW = 64;
/** So many of them that wait for room leave little to be seen of others: the store also shows those being sent. */
const CROWDED = WINDOW / 2;
/** Milliseconds; timers cannot be set for a month. */
const LONGEST_TIMER = 3_600_000;

export class Deliverer {
  readonly #options: DelivererOptions;
  readonly #lanes = new Lanes();
  /** Deliveries of the last reading that are not sent yet, those that are due first in front. */
  #window: readonly Delivery[] = [];
  /** Users of whom the last look showed as many as it could, so there may be more. */
  #more: ReadonlySet<string> = new Set();
  /** Being sent or written. */
  readonly #busy = new Map<string, Delivery>();
  readonly #share = new Share(MAX_SENDING);
  readonly #addresses = new AddressPlaces();
  readonly #setbacks: Setbacks;
  readonly #givenUp: GivenUp;
  /** Written since the last look began, which may show them as they were before. */
  #written = new Set<string>();
  /** Subjects about which nothing may be begun. */
  readonly #held = new Set<string>();
  /** Results of tries that could not be written. */
  readonly #unsaved = new Map<string, Delivery>();
  /** The store failed, and has not been seen to work since. */
  #troubled = false;
  #looking = false;
  #timer: NodeJS.Timeout | undefined;
  /** Time of the server's clock for which the timer is set. */
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
    this.#setbacks = new Setbacks(options.timing.setback);
    this.#givenUp = new GivenUp(options.log, options.now);
  }

  /** Begins, with what was pending before. */
  start(): void {
    this.#started = true;
    this.wake();
  }

  /** To be called when a delivery was written to the store. */
  wake(): void {
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

  /** @param at by the server's clock */
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
      await this.#options.endpoints.load();
      await this.#saveUnsaved();
      this.#written = new Set();
      this.#window = await this.#options.outbox.pendingDeliveries(WINDOW);
      const users = Map.groupBy(this.#window, ({ user }) => user);
      this.#more = new Set([...users].filter(([, own]) => own.length === WINDOW).map(([user]) => user));
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

  async #save(deliveries: readonly Delivery[]): Promise<void> {
    const { outbox, endpoints } = this.#options;
    const { records, putBack } = endpoints.take();
    try {
      await outbox.write([...deliveries.map((delivery) => ({ kind: "delivery", delivery }) as const), ...records]);
    } catch (error) {
      putBack();
      throw error;
    }
  }

  /** Writes what has become of endpoints. @throws {AltLasError} as `Store.save`; it is written later */
  saveEndpoints(): Promise<void> {
    return this.#save([]);
  }

  /** Its state is written. */
  #release(id: string): void {
    this.#unsaved.delete(id);
    this.#busy.delete(id);
    this.#written.add(id);
  }

  #onTrouble(error: unknown): void {
    const { log, now, timing } = this.#options;
    if (!this.#troubled && !(error instanceof StoreLost))
      log.error({ reason: messageOf(error) }, "webhooks wait, because the store does not work");
    this.#troubled = true;
    this.#lookAt(now() + timing.storePause);
  }

  /** Sends what can be sent now, and sees to it that the rest will be. */
  #fill(): void {
    if (this.#stopped || this.#troubled) return;
    const now = this.#options.now();
    this.#window = this.#window.filter(({ id }) => !this.#busy.has(id) && !this.#written.has(id));
    this.#refusePaused(now);
    this.#sendByTurns(now);
    this.#window = this.#window.filter(({ id }) => !this.#busy.has(id));
    for (const [user, own] of Map.groupBy(this.#window, (delivery) => delivery.user)) {
      // Where there is no room, this is called again when one of those that are sent ends.
      if (this.#share.hasRoom(user)) this.#expectMore(user, own, now);
    }
  }

  /** Not silently: its user sees it with the tries, and may have it sent again. */
  #refusePaused(now: number): void {
    const { endpoints, ahead } = this.#options;
    const refused = this.#due(now).filter((delivery) => endpoints.refuses(delivery, now));
    this.#writeUnsent(refused.map((delivery) => notTried(delivery, now, now + ahead())));
  }

  #due(now: number): readonly Delivery[] {
    return this.#window.filter(({ nextAt, subject }) => nextAt <= now && !this.#held.has(subject));
  }

  /** Each user with something to send gets one place at a time, those with the fewest first. */
  #sendByTurns(now: number): void {
    let users = [...Map.groupBy(this.#due(now), ({ user }) => user)].map(([user, own]) => ({
      user,
      next: own.values(),
    }));
    while (users.length > 0) {
      users.sort((a, b) => this.#share.of(a.user) - this.#share.of(b.user));
      users = users.filter(({ user, next }) => this.#share.hasRoom(user) && this.#sendFirst(next, now));
    }
  }

  /** Sends the first one for which there is room; false: there is none. */
  #sendFirst(deliveries: Iterator<Delivery>, now: number): boolean {
    for (let next = deliveries.next(); next.done !== true; next = deliveries.next())
      if (this.#sendIfRoom(next.value, now)) return true;
    return false;
  }

  /** There is room for more of a user, but what is due in its window waits for room at its host. */
  #expectMore(user: string, own: readonly Delivery[], now: number): void {
    for (const delivery of own) {
      const at = delivery.nextAt > now ? delivery.nextAt : this.#setbacks.roomAt(siteKey(delivery), now);
      if (at !== null) this.#lookAt(at);
      if (delivery.nextAt > now) return;
    }
    if (!this.#more.has(user)) return;
    if (own.length < CROWDED) this.#lookAt(now);
    else this.#postpone(own, now);
  }

  /** Lets others be seen. Until a first try is over, nobody knows how slow a host is; the end of one calls this again. */
  #postpone(own: readonly Delivery[], now: number): void {
    const later: Delivery[] = [];
    for (const delivery of own) {
      const turn = this.#lanes.nextTurn(laneOf(delivery), now);
      const site = this.#setbacks.nextTurn(siteKey(delivery), now);
      if (turn !== null || site !== null) later.push({ ...delivery, nextAt: Math.max(turn ?? 0, site ?? 0) });
    }
    this.#writeUnsent(later);
  }

  #writeUnsent(deliveries: readonly Delivery[]): void {
    if (deliveries.length === 0) return;
    for (const delivery of deliveries) this.#busy.set(delivery.id, delivery);
    this.#window = this.#window.filter(({ id }) => !this.#busy.has(id));
    this.#track(this.#saveUnsent(deliveries));
  }

  async #saveUnsent(deliveries: readonly Delivery[]): Promise<void> {
    try {
      await this.#save(deliveries);
    } catch (error) {
      this.#onTrouble(error);
    }
    for (const { id } of deliveries) this.#release(id);
    this.#lookAt(this.#options.now());
  }

  /** False: there is no room at its host. */
  #sendIfRoom(delivery: Delivery, now: number): boolean {
    const [lane, site] = [laneOf(delivery), siteKey(delivery)];
    if (!this.#lanes.hasRoom(lane) || !this.#setbacks.hasRoom(site, now)) return false;
    if (!this.#options.endpoints.hasRoom(delivery, now)) return false;
    this.#options.endpoints.begins(delivery);
    this.#lanes.enter(lane);
    this.#setbacks.begins(site);
    this.#share.take(delivery.user);
    this.#busy.set(delivery.id, delivery);
    this.#track(this.#deliver(delivery, lane, site));
    return true;
  }

  async #deliver(delivery: Delivery, lane: string, site: string): Promise<void> {
    const began = performance.now();
    let end: "answered" | "late" | null = null;
    try {
      end = await this.#try(delivery);
    } catch (error) {
      this.#onTrouble(error);
    }
    if (!this.#unsaved.has(delivery.id)) this.#release(delivery.id);
    const now = this.#options.now();
    this.#setbacks.ends(site, end, now);
    this.#lanes.leave(lane, performance.now() - began, now);
    this.#share.giveBack(delivery.user);
    this.#options.endpoints.ends(delivery);
    this.#fill();
  }

  /** @returns how it ended, as far as that says something about the site @throws when the store fails */
  async #try(delivery: Delivery): Promise<"answered" | "late" | null> {
    const keys = await this.#options.secrets.signing(delivery.user);
    const { timedOut, ...attempt } = await this.#attempt(delivery, keys);
    if (attempt.status === null && this.#stopped) return null;
    const after = timedOut === null ? this.#later(delivery) : afterTry(delivery, attempt, this.#options);
    if (timedOut !== null) {
      tellTried(after);
      this.#options.endpoints.tried(after);
      this.#tell(after);
    }
    try {
      await this.#save([after]);
    } catch (error) {
      // In memory it keeps being busy, so that it is not sent again before it is written.
      this.#unsaved.set(after.id, after);
      throw error;
    }
    if (after.status === "pending") this.#lookAt(after.nextAt);
    if (timedOut === true) return "late";
    return attempt.status === null ? null : "answered";
  }

  #later(delivery: Delivery): Delivery {
    const { now, timing } = this.#options;
    return { ...delivery, nextAt: now() + timing.addressPause };
  }

  async #attempt(delivery: Delivery, keys: readonly string[]): Promise<DeliveryAttempt & Answer> {
    const { id, url, body, user, createdAt, attempts } = delivery;
    const { rules, timing, now } = this.#options;
    const clock = now();
    const wall = clock + this.#options.ahead();
    // The shown time never goes backwards, whatever the wall clock does.
    const at = Math.max(wall, createdAt, attempts.at(-1)?.at ?? 0);
    const began = performance.now();
    const headers = {
      ...tellBegins(delivery),
      ...signedHeaders({ id, timestamp: Math.floor(wall / 1000), body }, keys),
    };
    const admit = (addresses: readonly string[]): (() => void) | null => this.#addresses.enter(addresses, user);
    const answer = await withLimit(timing.limit, this.#ended.signal, (signal) =>
      send({ url, body, headers }, { ...rules, admit }, signal),
    );
    return { at, ...(clock !== at && { clock }), ...answer, duration: Math.round(performance.now() - began) };
  }

  #tell(delivery: Delivery): void {
    const { status } = delivery;
    if (status === "failed") return this.#givenUp.tell(delivery);
    const what = status === "delivered" ? "a webhook was delivered" : "a webhook failed for now";
    this.#options.log.debug(lineOf(delivery), what);
  }
}
