/** The bus over NATS: core only, nothing is kept there. */
import { randomInt, randomUUID } from "node:crypto";
import type { Msg, NatsConnection, NodeConnectionOptions, Subscription } from "@nats-io/transport-node";
import type { Logger } from "pino";
import { steadyTime } from "../common/clock.ts";
import { optionalPackage } from "../common/optional-package.ts";
import { AltLasError, messageOf } from "../errors.ts";
import type { Bus, BusEvents } from "./bus.ts";
import { PIECE_BYTES, Pieces, piecesOf } from "./pieces.ts";

export interface NatsPlace {
  /** Each `nats://` or `tls://`, with what the brokers ask for before the `@`: USER:PASSWORD or TOKEN. One of them is used, and another one when that is gone. */
  readonly urls: readonly string[];
  /** A file of credentials (`.creds`); absent: what stands in the URL, if anything. */
  readonly credentials?: string | undefined;
  /** Shown by the broker beside the connection. */
  readonly name: string;
  readonly log: Logger;
}

/** Milliseconds between two tries to connect, and the most that comes to them by chance, so that not all come at once. */
const AGAIN = 250;
const SPREAD = 100;
/** Milliseconds between two looks at a connection that says nothing, and how many may fail. */
const PING = 1000;
const MOST_PINGS = 3;
/** Milliseconds for an answer of the NATS servers. */
const PATIENCE = 5000;
/** Milliseconds in which a connection is made: a port of something else may say nothing. */
const CONNECTING = 10_000;

/** @throws {AltLasError} `bad_config`: there is no broker, it does not let us in, or it is none that can be used */
export async function openNats(place: NatsPlace): Promise<Bus> {
  try {
    const connection = await connected(place);
    if (connection.info?.headers !== true) {
      await connection.close();
      throw new Error(
        `it is NATS ${connection.info?.version ?? "of an unknown version"}; ALT_LAS needs 2.2 or later, with headers`,
      );
    }
    return new NatsBus(connection, place);
  } catch (error) {
    const sentence = `cluster.nats: ${hostsOf(place.urls)} cannot be used: ${messageOf(error)}.`;
    throw new AltLasError("bad_config", sentence.replace(/\.\.$/, "."), { cause: error });
  }
}

/** A connection to the NATS servers themselves. */
export interface NatsQuestions {
  /** Bytes that a question may have. */
  readonly most: number;
  /** @throws {Error} nobody answers */
  ask(subject: string, question?: string): Promise<string>;
}

/** Asks the NATS servers themselves, on a connection of its own. @throws {Error} none can be asked, and what `work` throws */
export async function askNats<T>(place: NatsPlace, work: (nats: NatsQuestions) => Promise<T>): Promise<T> {
  const connection = await connected(place, { reconnect: false, timeout: PATIENCE });
  try {
    return await work({
      most: connection.info?.max_payload ?? Infinity,
      ask: async (subject, question) => (await connection.request(subject, question, { timeout: PATIENCE })).string(),
    });
  } finally {
    await connection.close();
  }
}

/** Whether an error of `openNats` says that the NATS servers do not let somebody in. One of TLS does not: nobody was asked. */
export async function isRefusal(error: unknown): Promise<boolean> {
  const { AuthorizationError, UserAuthenticationExpiredError } = await client();
  const { cause } = error as Error;
  return cause instanceof AuthorizationError || cause instanceof UserAuthenticationExpiredError;
}

async function connected(place: NatsPlace, more: NodeConnectionOptions = {}): Promise<NatsConnection> {
  const { connect, credsAuthenticator } = await client();
  const { credentials } = place;
  const authenticator =
    credentials === undefined ? {} : { authenticator: credsAuthenticator(Buffer.from(credentials)) };
  return connect({ ...optionsOf(place), ...authenticator, ...more });
}

function client(): Promise<typeof import("@nats-io/transport-node")> {
  const sentence =
    "cluster.nats needs the npm package @nats-io/transport-node, which was left out (--omit=optional?); install it with npm install @nats-io/transport-node.";
  return optionalPackage(() => import("@nats-io/transport-node"), sentence);
}

function optionsOf({ urls, name }: NatsPlace): NodeConnectionOptions {
  const { protocol, username, password } = new URL(urls[0]!);
  const [user, pass] = [decodeURIComponent(username), decodeURIComponent(password)];
  return {
    servers: listOf(urls.map((url) => new URL(url).host)),
    noRandomize: true,
    name,
    ...(pass !== "" ? { user, pass } : user !== "" && { token: user }),
    ...(protocol !== "nats:" && { tls: {} }),
    // Else each of its addresses is a server of its own, and the error of the last one hides what the others said.
    resolve: false,
    noEcho: true,
    timeout: CONNECTING,
    maxReconnectAttempts: -1,
    reconnectDelayHandler: pauses(),
    pingInterval: PING,
    maxPingOut: MOST_PINGS,
    ignoreAuthErrorAbort: true,
  };
}

/**
 * The pauses between tries. The library waits until its last try is so long ago by the wall clock: after that was set back by an hour, it would
 * try nothing for an hour. So it is told that no time needs to have passed, whenever it has by a clock that only goes forward.
 */
function pauses(): () => number {
  let last = Number.NEGATIVE_INFINITY;
  return () => {
    const now = steadyTime();
    if (now - last < AGAIN) return AGAIN + randomInt(SPREAD);
    last = now;
    return Number.NEGATIVE_INFINITY;
  };
}

/**
 * From the start on in any order, so that the connections are divided. Each stands there twice: until it has connected once, the library
 * forgets a server that does not answer, and would never find it again.
 */
function listOf(hosts: readonly string[]): string[] {
  if (hosts.length === 1) return [...hosts];
  const first = randomInt(hosts.length);
  const order = [...hosts.slice(first), ...hosts.slice(0, first)];
  return [...order, ...order];
}

/** Without what is secret, as `--join` takes them. */
function hostsOf(urls: readonly string[]): string {
  return urls
    .map((url) => new URL(url))
    .map(({ protocol, host }) => `${protocol}//${host}`)
    .join(",");
}

class NatsBus implements Bus {
  readonly at: string;
  readonly #connection: NatsConnection;
  readonly #watchers = new Set<BusEvents>();
  /** Brokers tell there that nobody has listened. */
  readonly #inbox = `_INBOX.${randomUUID()}`;
  /** By the last parts of their subjects in the inbox. */
  readonly #nobody = new Map<string, () => void>();
  readonly #log: Logger;
  /** One for each subject that it listens to. */
  readonly #pieces = new Set<Pieces>();
  #isUp = true;
  #next = 0;
  #listensToInbox = false;

  constructor(connection: NatsConnection, { urls, log }: NatsPlace) {
    this.#connection = connection;
    this.at = hostsOf(urls);
    this.#log = log;
    void this.#follow();
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Bytes that the broker takes at once; after a reconnect it may be another broker. */
  get #most(): number {
    return Math.min(PIECE_BYTES, this.#connection.info?.max_payload ?? PIECE_BYTES);
  }

  send(subject: string, message: object, nobody?: () => void): void {
    if (!this.#isUp) return;
    const reply = nobody && this.#replyFor(nobody);
    for (const piece of piecesOf(message, this.#most))
      this.#connection.publish(subject, piece, reply === undefined ? {} : { reply });
  }

  listen(subject: string, heard: (message: object, last: string) => void, most?: number): () => void {
    const pieces = new Pieces(most);
    this.#pieces.add(pieces);
    const subscription = this.#subscribe(subject, ({ data, subject: to }) => {
      const last = to.slice(to.lastIndexOf(".") + 1);
      const message = pieces.take(last, data);
      if (message !== undefined) heard(message, last);
    });
    return () => {
      this.#pieces.delete(pieces);
      subscription.unsubscribe();
    };
  }

  /** An error of a listener would end the library's loop, and nothing would be heard any more. */
  #subscribe(subject: string, heard: (message: Msg) => void): Subscription {
    const callback = (error: Error | null, message: Msg): void => {
      if (error === null) this.#guard(subject, () => heard(message));
    };
    return this.#connection.subscribe(subject, { callback });
  }

  #guard(subject: string, take: () => void): void {
    try {
      take();
    } catch (error) {
      this.#log.error({ err: error, subject }, `what NATS has told could not be taken: ${messageOf(error)}`);
    }
  }

  watch(events: BusEvents): () => void {
    this.#watchers.add(events);
    return () => void this.#watchers.delete(events);
  }

  async close(): Promise<void> {
    this.#watchers.clear();
    this.#isUp = false;
    if (this.#connection.isClosed()) return;
    await this.#connection.drain().catch(() => this.#connection.close());
  }

  async #follow(): Promise<void> {
    for await (const { type } of this.#connection.status()) {
      if (type === "disconnect") this.#set(false);
      else if (type === "reconnect") this.#set(true);
      else if (type === "error") this.#log.warn("NATS reports an error of this connection: it may lack a permission");
    }
  }

  #set(isUp: boolean): void {
    if (this.#isUp === isUp) return;
    this.#isUp = isUp;
    this.#nobody.clear();
    for (const pieces of this.#pieces) pieces.clear();
    for (const { up, down } of this.#watchers) this.#guard("connection", isUp ? up : down);
  }

  /** The answer comes at once or not at all, so only the last ones are kept. */
  #replyFor(nobody: () => void): string {
    const id = String(this.#next++);
    // Agents have no use for it, and need no right to it.
    if (!this.#listensToInbox) this.#subscribe(`${this.#inbox}.*`, (message) => this.#onReply(message));
    this.#listensToInbox = true;
    this.#nobody.set(id, nobody);
    if (this.#nobody.size > MOST_OPEN) this.#nobody.delete(this.#nobody.keys().next().value!);
    return `${this.#inbox}.${id}`;
  }

  #onReply({ subject, headers }: Msg): void {
    if (headers?.code !== NO_RESPONDERS) return;
    const id = subject.slice(subject.lastIndexOf(".") + 1);
    const nobody = this.#nobody.get(id);
    this.#nobody.delete(id);
    nobody?.();
  }
}

/** Of NATS, beside an answer without content. */
const NO_RESPONDERS = 503;
/** Messages that somebody may yet not have heard. */
const MOST_OPEN = 4096;
