/** Connections that stall, each in one way, until they all leave. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { LARGEST_BODY } from "./world.ts";

const CHUNK = Buffer.alloc(2 ** 16, "a");
/** Chunks of a body that is held: a little less than was announced. */
const CHUNKS = LARGEST_BODY / CHUNK.length - 16;

export class Crowd {
  readonly #server: { readonly host: string; readonly port: number };
  readonly #key: string;
  readonly #sockets: Socket[] = [];
  /** The heads of the answers to those that hold bodies. */
  readonly refusals: string[] = [];

  /** @param url the server's @param key of the user who stalls */
  constructor(url: string, key: string) {
    const { hostname, port } = new URL(url);
    this.#server = { host: hostname, port: Number(port) };
    this.#key = key;
  }

  /**
   * Sends most of a large body, and never the rest; resolves when that is sent, or the server wants no more.
   * @param announced whether it says how long it is
   */
  async holdBody(announced: boolean): Promise<void> {
    const length = announced ? `content-length: ${LARGEST_BODY}` : "transfer-encoding: chunked";
    const socket = await this.#open("POST", "/predict", `content-type: application/json\r\n${length}\r\n`);
    socket.once("data", (answer: Buffer) => this.refusals.push(answer.toString("latin1")));
    const refused = new AbortController();
    for (const sign of ["data", "close"]) socket.once(sign, () => refused.abort());
    const send = async (piece: Buffer | string): Promise<void> => {
      const framed = announced ? piece : Buffer.concat([frame(piece.length), Buffer.from(piece), Buffer.from("\r\n")]);
      // It also ends when the server has answered, or left.
      if (!socket.write(framed)) await once(socket, "drain", { signal: refused.signal }).catch(() => {});
    };
    await send('{"text":"');
    for (let sent = 0; sent < CHUNKS && !refused.signal.aborted; sent++) await send(CHUNK);
  }

  /** Asks, and reads nothing of the answer. */
  ignoreAnswer(path: string): void {
    void this.#open("GET", path).then((socket) => socket.pause());
  }

  /** Asks, and closes the half on which it sends. @returns the whole answer, or what came of it */
  async closeHalf(path: string): Promise<string> {
    const socket = await this.#open("GET", path, "connection: close\r\n");
    socket.end();
    return text(socket).catch(String);
  }

  /** All at once, as if their machine had been switched off. */
  leave(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async #open(method: string, path: string, headers = ""): Promise<Socket> {
    const { host, port } = this.#server;
    const socket = connect({ host, port, allowHalfOpen: true });
    this.#sockets.push(socket);
    // A server that ends it has its reasons; what they are is looked at elsewhere.
    socket.on("error", () => {});
    socket.write(
      `${method} /api/v1${path} HTTP/1.1\r\nhost: ${host}:${port}\r\nauthorization: Bearer ${this.#key}\r\n${headers}\r\n`,
    );
    return socket;
  }
}

function frame(length: number): Buffer {
  return Buffer.from(`${length.toString(16)}\r\n`);
}
