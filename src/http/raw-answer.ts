/** Answers to what has no request or reply yet: they are written to the connection itself. */
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { http } from "../common/node-http.ts";
import type { AltLasError } from "../errors.ts";
import { failureFor } from "./openai/envelope.ts";
import { tellRefusal } from "./request-news.ts";

/** Milliseconds for a client to take the answer and close; one that never closes would keep its connection for ever. */
const LINGER = 5000;

interface RawAnswer {
  readonly requestId: string;
  /** The target of the request, if that is known. */
  readonly target?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Writes a refusal and ends the connection. */
export function endWith(socket: Duplex, error: AltLasError, { requestId, target, headers = {} }: RawAnswer): void {
  tellRefusal(error);
  const { status, body: failure, headers: theirs } = failureFor({ target, requestId }, error);
  const body = JSON.stringify(failure);
  const head = [
    `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}`,
    ...Object.entries({ ...headers, ...theirs }).map(([name, value]) => `${name}: ${value}`),
    "Content-Type: application/json; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Request-Id: ${requestId}`,
    "Cache-Control: no-store",
    "X-Content-Type-Options: nosniff",
    "Referrer-Policy: no-referrer",
    "Connection: close",
  ];
  socket.on("error", () => socket.destroy());
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
  if (socket instanceof Socket) socket.setTimeout(LINGER, () => socket.destroy());
}
