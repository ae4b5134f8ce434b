/**
 * Texts that servers generate, read as they come: keep-alive connections and as little work as possible for each token, because the
 * client shares the machine's cores with the server.
 */
import { connect, type Socket } from "node:net";
import { bodyFor } from "../src/engine/llama-server/completion.ts";
import { type Generate, type Request } from "./generation.ts";
import { type BenchServer } from "./server.ts";

/** How a server is asked, and how its stream is to be read. */
interface Dialect {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly headers: readonly string[];
  readonly bodyOf: (request: Request) => object;
  /** In what brings text. */
  readonly text: RegExp;
  /** In the last event: how many tokens there were. */
  readonly tokens: RegExp;
}

const OK = "HTTP/1.1 200 ";
/** Milliseconds after which a connection is not used again: the server may be closing it. */
const IDLE = 1000;
/** In the head of the last answer on a connection. */
const CLOSES = /^connection: close/im;
/** The end of a chunked answer. */
const END = "\r\n0\r\n\r\n";
/** Characters of a stream that are kept: more than the last event has. */
const KEPT = 16_384;

/** This project's server, as a client that reads along uses it. */
export function through({ host, port, authorization }: BenchServer): Generate {
  return streaming({
    host,
    port,
    path: "/api/v1/predict",
    headers: [`Authorization: ${authorization}`],
    bodyOf: ({ text, maxLength, temperature }) => ({ text, max_length: maxLength, temperature, stream: true }),
    text: /event: token\n/,
    tokens: /event: completed\n.*"completion_tokens":(\d+)/s,
  });
}

/** A llama-server, asked for the same as our engine asks it for. */
export function throughLlamaServer({ host, port }: Pick<BenchServer, "host" | "port">): Generate {
  return streaming({
    host,
    port,
    path: "/completion",
    headers: [],
    bodyOf: ({ text, maxLength, temperature }) => ({ ...bodyFor([], maxLength, temperature), prompt: text }),
    text: /"content":"[^"]/,
    tokens: /"stop":true.*"tokens_predicted":(\d+)/s,
  });
}

function streaming(dialect: Dialect): Generate {
  /** Since when, in milliseconds of `performance.now()`. */
  const idle = new Map<Socket, number>();
  const open = (): Socket => {
    const socket = connect({ host: dialect.host, port: dialect.port, noDelay: true });
    // "close" follows, and whoever waits for an answer hears of that.
    socket.on("error", () => {});
    socket.once("close", () => idle.delete(socket));
    return socket;
  };
  return async (request, onText) => {
    const kept = idle.entries().find(([, since]) => performance.now() - since < IDLE)?.[0];
    const socket = kept ?? open();
    idle.delete(socket);
    const { last, stays } = await exchange(socket, requestTo(dialect, request), dialect.text, onText);
    if (stays && !socket.destroyed) idle.set(socket, performance.now());
    const [, tokens] = dialect.tokens.exec(last) ?? [];
    if (tokens === undefined) throw new Error(`a text did not come whole: ${last}`);
    return Number(tokens);
  };
}

function requestTo({ host, port, path, headers, bodyOf }: Dialect, request: Request): string {
  const body = JSON.stringify(bodyOf(request));
  const own = [`Host: ${host}:${port}`, "Content-Type: application/json", `Content-Length: ${Buffer.byteLength(body)}`];
  return [`POST ${path} HTTP/1.1`, ...headers, ...own, "", body].join("\r\n");
}

interface Answer {
  /** The end of it. */
  readonly last: string;
  /** Whether the server keeps the connection open. */
  readonly stays: boolean;
}

/** Resolves when the whole answer has come. */
function exchange(socket: Socket, request: string, text: RegExp, onText?: () => void): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let last = "";
    let stays: boolean | null = null;
    const onData = (bytes: Buffer): void => {
      const piece = bytes.toString("latin1");
      if (stays === null && !piece.startsWith(OK)) done(() => reject(new Error(piece)));
      stays ??= !CLOSES.test(piece);
      last = (last + piece).slice(-KEPT);
      if (onText !== undefined && text.test(piece)) onText();
      if (last.endsWith(END)) done(() => resolve({ last, stays: stays! }));
    };
    const onClose = (): void => done(() => reject(new Error("the connection was closed")));
    const done = (settle: () => void): void => {
      socket.off("data", onData);
      socket.off("close", onClose);
      settle();
    };
    socket.on("data", onData);
    socket.once("close", onClose);
    socket.write(request);
  });
}
