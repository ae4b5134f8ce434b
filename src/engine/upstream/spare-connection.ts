/**
 * A connection that is opened before it is needed, so that the next request does not wait for one. For servers that keep a thread at
 * each connection, to which opening one costs more than answering on it.
 */
import type { Socket } from "node:net";
import type { buildConnector } from "undici";

/** Milliseconds after which another one takes its place: llama.cpp's server closes what has been silent for 5 s. */
const LONGEST_IDLE = 2000;

type Connector = buildConnector.connector;

export class SpareConnection {
  readonly #open: Connector;
  /** Whether one is worth having now. */
  readonly #isWanted: () => boolean;
  #target: buildConnector.Options | undefined;
  #socket: Socket | null = null;
  #opening = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(open: Connector, isWanted: () => boolean) {
    this.#open = open;
    this.#isWanted = isWanted;
  }

  /** Gives the one that there is, or opens one. */
  readonly connect: Connector = (target, callback) => {
    this.#target = target;
    const socket = this.#take();
    if (socket === null) this.#open(target, callback);
    // Not at once: the client is not ready for an answer before it has asked.
    else process.nextTick(callback, null, socket);
  };

  /** Opens one, unless there is one, or it is not worth it. */
  prepare(): void {
    if (this.#target === undefined || this.#socket !== null || this.#opening || this.#closed || !this.#isWanted())
      return;
    this.#opening = true;
    this.#open(this.#target, (error, socket) => {
      this.#opening = false;
      // A request that needs a connection learns of the failure from the one that it opens.
      if (error !== null) return;
      if (this.#closed || !this.#isWanted()) socket.destroy();
      else this.#keep(socket);
    });
  }

  close(): void {
    this.#closed = true;
    this.#take()?.destroy();
  }

  #keep(socket: Socket): void {
    this.#socket = socket;
    socket.once("close", this.#onClose);
    this.#timer = setTimeout(() => {
      this.#take()?.destroy();
      this.prepare();
    }, LONGEST_IDLE);
  }

  readonly #onClose = (): void => void this.#take();

  #take(): Socket | null {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.off("close", this.#onClose);
    return socket?.writable ? socket : null;
  }
}
