/**
 * Endpoints to which all webhooks of a user go in vain. An endpoint is a server, as the origin of its URLs says; each user has its own view of
 * one, so that nobody's failures are held against others.
 *  1. It fails from the first failure after a success on. When a delivery is given up after more than `pauseAfter` of that, it is paused.
 *  2. Deliveries due for a paused one are not tried, and count as failed at once: they do not use up what its user may have waiting.
 *  3. One delivery an hour is tried nevertheless. While it is under way the others wait, for if it arrives, all of them are sent.
 *  4. A success ends all of it, and so does `resume`.
 */
import type { Logger } from "../log/log.ts";
import type { Delivery, Outbox, OutboxRecord, WebhookEndpoint } from "../store/outbox.ts";
import { tellOperators } from "../topics.ts";

/** Milliseconds between two tries of a paused endpoint. */
const PROBE_GAP = 3_600_000;
/** Endpoints of one user that are remembered; beyond them the oldest is forgotten, and has to fail for as long again. */
const MOST = 100;

interface Known {
  readonly failingSince: number;
  pausedAt: number | null;
  /** Nothing is tried before, while it is paused. By the server's clock. */
  probeAt: number;
  /** The delivery that is tried although it is paused. */
  probe: string | null;
}

export interface EndpointsOptions {
  readonly outbox: Pick<Outbox, "endpoints">;
  /** Milliseconds; null: none is ever paused. */
  readonly pauseAfter: number | null;
  /** The server's clock. */
  readonly now: () => number;
  readonly log: Logger;
}

export class Endpoints {
  readonly #options: EndpointsOptions;
  /** By user and origin, those that have failed for longest first. */
  readonly #users = new Map<string, Map<string, Known>>();
  /** Their present state is not written yet. */
  readonly #unwritten = new Map<string, { readonly user: string; readonly origin: string }>();
  #paused = 0;
  #loading: Promise<void> | null = null;

  constructor(options: EndpointsOptions) {
    this.#options = options;
  }

  /** How many are paused. */
  get paused(): number {
    return this.#paused;
  }

  /** Reads what earlier runs have left, once. */
  load(): Promise<void> {
    this.#loading ??= this.#load().catch((error: unknown) => {
      this.#loading = null;
      throw error;
    });
    return this.#loading;
  }

  async #load(): Promise<void> {
    for (const { user, origin, failingSince, pausedAt } of await this.#options.outbox.endpoints()) {
      // Failures held against an endpoint say nothing once pausing was switched off and on again.
      if (this.#options.pauseAfter === null) {
        this.#changed(user, origin);
        continue;
      }
      this.#ofUser(user).set(origin, { failingSince, pausedAt, probeAt: 0, probe: null });
      if (pausedAt !== null) this.#paused++;
    }
  }

  /** Those that fail. @param user of one user alone */
  list(user?: string): readonly WebhookEndpoint[] {
    const users = user === undefined ? [...this.#users.keys()] : [user];
    return users.flatMap((name) => {
      const own = [...(this.#users.get(name) ?? [])];
      return own.map(([origin, { failingSince, pausedAt }]) => ({ user: name, origin, failingSince, pausedAt }));
    });
  }

  isPaused({ user, url }: Pick<Delivery, "user" | "url">): boolean {
    return (this.#known(user, originOf(url))?.pausedAt ?? null) !== null;
  }

  /** Whether a delivery that is due is not to be tried, and counts as failed. */
  refuses({ user, url }: Delivery, now: number): boolean {
    const known = this.#known(user, originOf(url));
    return known !== undefined && isClosed(known) && known.probe === null && now < known.probeAt;
  }

  /** False: it has to wait for the one that is tried. */
  hasRoom({ user, url }: Delivery, now: number): boolean {
    const known = this.#known(user, originOf(url));
    return known === undefined || !isClosed(known) || (known.probe === null && now >= known.probeAt);
  }

  begins({ id, user, url }: Delivery): void {
    const known = this.#known(user, originOf(url));
    if (known !== undefined && isClosed(known)) known.probe = id;
  }

  /** A try is over, whether it was made or not. */
  ends({ id, user, url }: Delivery): void {
    const known = this.#known(user, originOf(url));
    if (known?.probe === id) known.probe = null;
  }

  /** @param after the delivery, as it is after a try that was made */
  tried(after: Delivery): void {
    const { user, url, status } = after;
    const origin = originOf(url);
    if (status === "delivered") return void this.#works(user, origin, null);
    const { pauseAfter, now } = this.#options;
    if (pauseAfter === null) return;
    const known = this.#known(user, origin) ?? this.#fails(user, origin);
    known.probeAt = now() + PROBE_GAP;
    const isOver = status === "failed" && now() - known.failingSince >= pauseAfter;
    if (isOver && known.pausedAt === null) this.#pause(user, origin, known);
  }

  /** The next delivery there is tried, whatever has been. */
  probeNext({ user, url }: Pick<Delivery, "user" | "url">): void {
    const known = this.#known(user, originOf(url));
    if (known !== undefined) known.probeAt = 0;
  }

  /** Holds nothing more against endpoints of a user. @param origin of one of them alone @returns how many there were */
  resume(user: string, origin: string | undefined, by: string): number {
    const origins = [...(this.#users.get(user)?.keys() ?? [])].filter((one) => origin === undefined || one === origin);
    for (const one of origins) this.#works(user, one, by);
    return origins.length;
  }

  /** Remembers nothing of a user any more; its rows are removed by others. */
  forget(user: string): void {
    for (const { pausedAt } of this.#users.get(user)?.values() ?? []) if (pausedAt !== null) this.#paused--;
    this.#users.delete(user);
  }

  /** Takes what is to be written with the next deliveries. @returns the records, and what is to be called when they could not be */
  take(): { readonly records: readonly OutboxRecord[]; readonly putBack: () => void } {
    const taken = [...this.#unwritten];
    this.#unwritten.clear();
    const records = taken.map(([, { user, origin }]) => this.#recordOf(user, origin));
    return { records, putBack: () => taken.forEach(([key, which]) => this.#unwritten.set(key, which)) };
  }

  #recordOf(user: string, origin: string): OutboxRecord {
    const known = this.#known(user, origin);
    if (known === undefined) return { kind: "endpoint_works", user, origin };
    const { failingSince, pausedAt } = known;
    return { kind: "endpoint", endpoint: { user, origin, failingSince, pausedAt } };
  }

  #known(user: string, origin: string): Known | undefined {
    return this.#users.get(user)?.get(origin);
  }

  #ofUser(user: string): Map<string, Known> {
    const own = this.#users.get(user) ?? new Map<string, Known>();
    this.#users.set(user, own);
    return own;
  }

  #fails(user: string, origin: string): Known {
    const own = this.#ofUser(user);
    if (own.size >= MOST) this.#works(user, own.keys().next().value!, null);
    const known: Known = { failingSince: this.#options.now(), pausedAt: null, probeAt: 0, probe: null };
    this.#ofUser(user).set(origin, known);
    this.#changed(user, origin);
    return known;
  }

  #pause(user: string, origin: string, known: Known): void {
    known.pausedAt = this.#options.now();
    this.#paused++;
    this.#changed(user, origin);
    const days = Math.round((known.pausedAt - known.failingSince) / 8_640_000) / 10;
    this.#options.log.warn({ user, host: hostIn(origin), days }, "webhooks to an endpoint are paused");
    const sentence = `Webhooks of ${user} to ${origin} are paused: for ${days} days, none has arrived there.`;
    tellOperators({ kind: "webhook", event: "paused", sentence });
  }

  /** @param by the user who says so; null: one has arrived there, or it is forgotten */
  #works(user: string, origin: string, by: string | null): void {
    const own = this.#users.get(user);
    const known = own?.get(origin);
    if (own === undefined || known === undefined) return;
    own.delete(origin);
    if (own.size === 0) this.#users.delete(user);
    this.#changed(user, origin);
    if (known.pausedAt === null) return;
    this.#paused--;
    this.#options.log.info({ user, host: hostIn(origin), by }, "webhooks to an endpoint are resumed");
    const sentence = `Webhooks of ${user} to ${origin} are resumed.`;
    tellOperators({ kind: "webhook", event: "resumed", sentence, ...(by !== null && { by }) });
  }

  #changed(user: string, origin: string): void {
    this.#unwritten.set(`${origin} ${user}`, { user, origin });
  }
}

/** All that cannot be sent anywhere counts as one. */
export function originOf(url: string): string {
  return URL.parse(url)?.origin ?? "";
}

function hostIn(origin: string): string {
  return URL.parse(origin)?.host ?? "";
}

function isClosed({ pausedAt }: Known): boolean {
  return pausedAt !== null;
}
