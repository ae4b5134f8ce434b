/**
 * Tickets that open one event stream, for browsers: their `EventSource` can send no header. A ticket stands in a URL, which people copy and
 * programs note down, so it lets nobody in for long, and nowhere else. They are known by their hashes; the next server that leads a cluster knows
 * them, too.
 */
import { hash, randomBytes } from "node:crypto";
import type { Caller, Credentials, NamedCaller } from "../auth/credentials.ts";
import type { Kept } from "../auth/kept.ts";
import { wallTime } from "../common/clock.ts";
import { AltLasError } from "../errors.ts";

/** Milliseconds in which a ticket is to be used first, and after its last connection used again. */
export const LIVES = 60_000;
/** Milliseconds after which a ticket ends in any case. */
export const LIVES_AT_MOST = 12 * 60 * 60_000;
/** Tickets of one user. */
const MOST = 100;
/** Milliseconds between two looks for those that have ended. */
const LOOKS = 10_000;

interface Ticket {
  readonly caller: Caller;
  /** The only one that it opens. */
  readonly path: string;
  /** Milliseconds of the clock. */
  readonly madeAt: number;
  /** When its last connection ended, or when it was made. */
  freeSince: number;
  /** Ends the connection that it has open; null: it has none. */
  cut: (() => void) | null;
}

/** As the next server finds it. */
interface KeptTicket {
  readonly caller: NamedCaller;
  readonly path: string;
  /** Unix milliseconds, both. */
  readonly madeAt: number;
  /** null: it has a connection open. */
  readonly freeSince: number | null;
}

/** The use that is made of a ticket. */
export interface TicketUse {
  /** The path of the stream. */
  readonly path: string;
  /** Whether the reader has had a part of the stream before. */
  readonly isReturn: boolean;
  /** The user that credentials beside the ticket have proven; null: there are none. */
  readonly user: string | null;
}

export interface TicketsOptions {
  readonly credentials: Pick<Credentials, "holds" | "onChange" | "namedFor" | "callerNamed">;
  /** Keeps them for the next server; left out: there is none. */
  readonly kept?: Kept | undefined;
  /** Milliseconds of a clock that only goes forward; for tests. */
  readonly now?: () => number;
  /** Unix milliseconds; for tests. */
  readonly wall?: () => number;
}

export class StreamTickets {
  readonly #credentials: TicketsOptions["credentials"];
  readonly #now: () => number;
  readonly #wall: () => number;
  readonly #kept: Kept | undefined;
  readonly #stop: () => void;
  /** By their hashes, the oldest first. */
  readonly #tickets = new Map<string, Ticket>();
  #looks: NodeJS.Timeout | null = null;

  constructor({ credentials, kept, now = () => performance.now(), wall = wallTime }: TicketsOptions) {
    this.#credentials = credentials;
    this.#now = now;
    this.#wall = wall;
    this.#kept = kept;
    this.#stop = credentials.onChange((forgotten) => this.sweep(forgotten));
    for (const [key, one] of kept?.left<KeptTicket>("ticket") ?? []) this.#takeOver(key, one);
  }

  /** A connection that was open by it has ended with the server before. */
  #takeOver(key: string, { caller: named, path, madeAt, freeSince }: KeptTicket): void {
    const caller = this.#credentials.callerNamed(named);
    if (caller === null) return this.#kept!.note("ticket", key, null);
    const at = (time: number): number => this.#now() - Math.max(0, this.#wall() - time);
    this.#add(key, { caller, path, madeAt: at(madeAt), freeSince: at(freeSince ?? this.#wall()), cut: null });
  }

  #add(key: string, ticket: Ticket): void {
    this.#tickets.set(key, ticket);
    this.#looks ??= setInterval(() => this.sweep(), LOOKS).unref();
  }

  #keptOf({ caller, path, madeAt, freeSince, cut }: Ticket): KeptTicket | null {
    const named = this.#credentials.namedFor(caller);
    const at = (time: number): number => this.#wall() - (this.#now() - time);
    return named && { caller: named, path, madeAt: at(madeAt), freeSince: cut === null ? at(freeSince) : null };
  }

  /** Tells the next server what has become of one. */
  #note(key: string): void {
    const ticket = this.#tickets.get(key);
    if (this.#kept === undefined) return;
    this.#kept.note("ticket", key, ticket === undefined ? null : this.#keptOf(ticket));
  }

  /** How many there are. */
  get size(): number {
    return this.#tickets.size;
  }

  /** Forgets all; the next server knows them. */
  close(): void {
    this.#stop();
    this.#tickets.clear();
    this.#rest();
  }

  /** A ticket that the next server knows, too. @throws {AltLasError} as `issue`; `store_unavailable` */
  async give(caller: Caller, path: string): Promise<string> {
    const ticket = this.issue(caller, path);
    const key = keyOf(ticket);
    await this.#kept?.put("ticket", key, this.#keptOf(this.#tickets.get(key)!));
    return ticket;
  }

  /** @throws {AltLasError} `rate_limited`: all that this user may have are in use */
  issue(caller: Caller, path: string): string {
    this.#makeRoom(caller);
    const ticket = randomBytes(32).toString("base64url");
    const madeAt = this.#now();
    this.#add(keyOf(ticket), { caller, path, madeAt, freeSince: madeAt, cut: null });
    return ticket;
  }

  /**
   * Opens a stream. Another one that is open by the same ticket is cut: its reader has come again.
   * @param cut ends the connection when the ticket ends
   * @returns who made the ticket, and what is to be called once when the connection has ended
   * @throws {AltLasError} `unauthorized`
   */
  redeem(given: string, use: TicketUse, cut: () => void): { readonly caller: Caller; readonly ended: () => void } {
    const key = keyOf(given);
    const ticket = this.#tickets.get(key);
    if (ticket === undefined || !this.#opens(ticket, use)) throw new AltLasError("unauthorized", REFUSED);
    ticket.cut?.();
    ticket.cut = cut;
    this.#note(key);
    const ended = (): void => {
      // It may have another one by now.
      if (ticket.cut !== cut) return;
      ticket.cut = null;
      ticket.freeSince = this.#now();
      // A ticket that has ended was noted then; one that `close` has forgotten is the next server's.
      if (this.#tickets.has(key)) this.#note(key);
    };
    return { caller: ticket.caller, ended };
  }

  /** Forgets those that have ended, or are of a user who is forgotten, and cuts what they have open. */
  sweep(forgotten?: string): void {
    for (const [key, ticket] of this.#tickets)
      if (ticket.caller.name === forgotten || !this.#lives(ticket)) {
        this.#tickets.delete(key);
        ticket.cut?.();
        this.#note(key);
      }
    if (this.#tickets.size === 0) this.#rest();
  }

  #rest(): void {
    if (this.#looks !== null) clearInterval(this.#looks);
    this.#looks = null;
  }

  /** 1. It lives. 2. It is for this stream. 3. Nobody else came with it. 4. After the first minute its reader has had some of the stream. */
  #opens(ticket: Ticket, { path, isReturn, user }: TicketUse): boolean {
    const isOurs = ticket.path === path && (user === null || user === ticket.caller.name);
    const isNew = this.#now() - ticket.madeAt <= LIVES;
    return isOurs && (isNew || isReturn) && this.#lives(ticket);
  }

  #lives({ caller, madeAt, freeSince, cut }: Ticket): boolean {
    const now = this.#now();
    return (
      now - madeAt <= LIVES_AT_MOST && (cut !== null || now - freeSince <= LIVES) && this.#credentials.holds(caller)
    );
  }

  /** A page that asks for ticket after ticket loses the oldest ones that it does not use. */
  #makeRoom({ name }: Caller): void {
    const own = [...this.#tickets].filter(([, { caller }]) => caller.name === name);
    if (own.length < MOST) return;
    const [spare] = own.find(([, { cut }]) => cut === null) ?? [];
    if (spare !== undefined) {
      this.#tickets.delete(spare);
      return this.#note(spare);
    }
    const sentence = `${name} has ${own.length} event streams open by tickets, and may not have more. Close some of them.`;
    throw new AltLasError("rate_limited", sentence);
  }
}

const REFUSED =
  "The ticket is unknown or over, or was made for another stream or another user. Make one with POST /api/v1/stream_ticket.";

function keyOf(ticket: string): string {
  return hash("sha256", ticket, "base64url");
}
