/**
 * Requests whose shape HTTP refuses (RFC 9110, RFC 9112), and those that Node would answer, or drop, by itself: each gets an answer
 * with our error body.
 */
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { AltLasError } from "../errors.ts";
import { shown } from "../common/validation.ts";
import type { AccessLog } from "./access-log.ts";
import { endWith } from "./raw-answer.ts";

/** RFC 3986, section 3.2.2, and a port; nothing at all is what a request without an authority sends. */
const HOST = /^(?:\[[0-9a-f:.%]+\]|[a-z0-9._~%!$&'()*+;=-]*)(?::\d{0,5})?$/i;
const METHODS = "GET, HEAD, POST, DELETE";

/**
 * Takes over what Node does without asking: it would invite each body by a 100 before anybody has looked at the request, answer other
 * expectations with an empty 417, and drop a CONNECT.
 * @param newRequestId for answers to what never becomes a request
 */
export function answerOddRequests(
  server: Server,
  newRequestId: () => string,
  accessLog: Pick<AccessLog, "refusedOdd">,
): void {
  for (const event of ["checkContinue", "checkExpectation"]) {
    server.on(event, (request, response) => server.emit("request", request, response));
  }
  server.on("connect", (request: IncomingMessage, socket: Duplex) => {
    const sentence = `This server is no proxy; it allows ${METHODS}, not CONNECT.`;
    const error = new AltLasError("method_not_allowed", sentence);
    const requestId = newRequestId();
    accessLog.refusedOdd({ socket: request.socket, error, requestId });
    endWith(socket, error, { requestId, headers: { Allow: METHODS } });
  });
}

/**
 * Looks at the request line and the headers.
 * @throws {AltLasError} `invalid_input`, `expectation_failed`, or `unsupported_media_type` for a body that is compressed
 */
export function refuseOddShape(request: IncomingMessage): void {
  const { httpVersion, headers } = request;
  if (httpVersion !== "1.1" && httpVersion !== "1.0") {
    throw new AltLasError("invalid_input", `The request line must say HTTP/1.1 or HTTP/1.0; got HTTP/${httpVersion}.`);
  }
  refuseRepeated(request.rawHeaders);
  refuseHost(headers.host, httpVersion);
  const { expect } = headers;
  if (expect !== undefined && httpVersion === "1.1" && expect.toLowerCase() !== "100-continue") {
    throw new AltLasError("expectation_failed", `The Expect header may only be 100-continue; got ${shown(expect)}.`);
  }
  refuseCoding(headers["transfer-encoding"], headers["content-encoding"]);
}

/** Node takes the first of several; a proxy in front may have looked at another one. */
function refuseRepeated(rawHeaders: readonly string[]): void {
  let seen = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const bit = onceOnly(rawHeaders[index]!);
    if (bit === 0) continue;
    if ((seen & bit) !== 0) {
      throw new AltLasError("invalid_input", `The ${rawHeaders[index]} header is there more than once.`);
    }
    seen |= bit;
  }
}

/** A bit for each header that may be there once; 0: any number. By length first, as this is asked of every header. */
function onceOnly(name: string): number {
  switch (name.length) {
    case 4:
      return name.toLowerCase() === "host" ? 1 : 0;
    case 9:
      return name.toLowerCase() === "x-api-key" ? 16 : 0;
    case 12:
      return name.toLowerCase() === "content-type" ? 2 : 0;
    case 13:
      return name.toLowerCase() === "authorization" ? 4 : 0;
    case 14:
      return name.toLowerCase() === "content-length" ? 8 : 0;
    default:
      return 0;
  }
}

/** The last good one: nearly all clients of a server know it by the same name. */
let usualHost = "";

/** RFC 9112, section 3.2: HTTP/1.1 wants one Host header, and it must name a host. */
function refuseHost(host: string | undefined, httpVersion: string): void {
  if (host === usualHost) return;
  if (host === undefined) {
    if (httpVersion === "1.1") throw new AltLasError("invalid_input", "The Host header is missing.");
  } else if (!HOST.test(host)) {
    throw new AltLasError("invalid_input", `The Host header must name a host; got ${shown(host)}.`);
  } else {
    usualHost = host;
  }
}

/** Nothing here unpacks a body, and a compressed one read as it is would only be called bad JSON. */
function refuseCoding(transfer: string | undefined, content: string | undefined): void {
  if (transfer !== undefined && transfer.toLowerCase() !== "chunked") {
    throw new AltLasError("invalid_input", `The Transfer-Encoding may only be chunked; got ${shown(transfer)}.`);
  }
  if (content !== undefined && content !== "" && content.toLowerCase() !== "identity") {
    const sentence = `The body must be sent as it is, without Content-Encoding; got ${shown(content)}.`;
    throw new AltLasError("unsupported_media_type", sentence);
  }
}
