/** Every answer that is not a success, in the shape of its API: openai/envelope.ts. */
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import type { Caller } from "../auth/credentials.ts";
import { AltLasError, messageOf } from "../errors.ts";
import { inLanguage } from "../words/words.ts";
import type { AccessLog } from "./access-log.ts";
import { hasCookie } from "./cookies.ts";
import { lingerAfter } from "./linger.ts";
import type { ServerParts } from "./server-parts.ts";
import { failureFor, triesAgain } from "./openai/envelope.ts";
import { languageOf, tellLanguage } from "./reader-language.ts";
import { tellRefusal } from "./request-news.ts";
import { endWith } from "./raw-answer.ts";
import { hasSlowBody } from "./slow-bodies.ts";
import { ticketOf } from "./stream-tickets.ts";
import { sentenceFor, TaskFailure } from "./task-failure.ts";

const REALM = 'realm="ALT_LAS"';
const BEARER = `Bearer ${REALM}`;
const CHALLENGES = [`Basic ${REALM}, charset="UTF-8"`, BEARER];

/** Answers whatever a hook or handler threw. */
export function errorHandler({ log }: Pick<ServerParts, "log">) {
  return (thrown: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    const error = toAltLasError(thrown);
    if (error === undefined || (error.status === 500 && !(error instanceof TaskFailure))) {
      const { method, id, routeOptions } = request;
      log.error(
        { err: thrown, request_id: id, method, route: routeOptions.url },
        "A request ended in an internal error.",
      );
      const sentence = `Internal error; the server's log says more under the request id ${id}.`;
      send(reply, new AltLasError("internal_error", sentence));
      return;
    }
    send(reply, error, request.caller);
  };
}

/** Headers about the content that comes behind them. */
const OF_CONTENT = ["content-type", "content-length", "content-disposition"];

/** @param caller undefined: not known yet, or none of the caller's business */
function send(reply: FastifyReply, error: AltLasError, caller?: Caller): void {
  const { raw } = reply.request;
  if (!(error instanceof TaskFailure)) tellRefusal(error);
  const at = { target: raw.url, requestId: reply.request.id };
  const language = languageOf(reply.request);
  const { status, body, headers } = failureFor(at, error, inLanguage(language, sentenceFor(error, caller)));
  // A stream may fail when the head of its answer is made. With what that head says, this could not be sent.
  for (const name of OF_CONTENT) reply.removeHeader(name);
  reply.headers(headers);
  tellLanguage(reply, language);
  // A browser asks its user for a password when it is offered Basic, and a stream that ended is no reason to.
  if (status === 401) reply.header("www-authenticate", isForPerson(reply.request) ? BEARER : CHALLENGES);
  if (status === 503 || status === 429) reply.header("retry-after", String(secondsOf(error)));
  // These clients would try a request twice more that the server has tried as often as it makes sense.
  if (isInVain(error) && triesAgain(raw.url)) reply.header("x-should-retry", "false");
  reply.request.refusal = error.code;
  lingerAfter(raw);
  reply.code(status).send(body);
}

/** Seconds; a client that is told to wait longer tries again much sooner, or not at all. */
const LONG = 60;

/** Whether there is no point in trying again soon. */
function isInVain(error: AltLasError): boolean {
  return error instanceof TaskFailure || (error.code === "budget_exceeded" && secondsOf(error) > LONG);
}

/** Whether a person looks at the page that asks, and would be asked for a password by the browser itself. */
function isForPerson(request: FastifyRequest): boolean {
  return ticketOf(request) !== null || hasCookie(request);
}

/** 0 would mean "at once", which is what brought the client here. */
function secondsOf({ retryAfter = 1 }: AltLasError): number {
  return Math.max(1, Math.ceil(retryAfter));
}

/** The framework's own refusals, in our words. undefined: not a refusal but a bug. */
function toAltLasError(thrown: unknown): AltLasError | undefined {
  if (thrown instanceof AltLasError) return thrown;
  const { code, statusCode } = thrown as Partial<FastifyError>;
  switch (code) {
    case "FST_ERR_CTP_INVALID_MEDIA_TYPE":
      return new AltLasError("unsupported_media_type", "The Content-Type header must be application/json.");
    case "FST_ERR_MAX_PARAM_LENGTH":
      return new AltLasError("invalid_input", "A part of the path is too long to name anything.");
    case "FST_ERR_BAD_URL":
      return new AltLasError("invalid_input", "The URL is not properly percent-encoded.");
  }
  // The others of this class are connections that broke while a body was read.
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new AltLasError("invalid_input", `The request cannot be read: ${messageOf(thrown)}`);
  }
  return undefined;
}

/** Answers what is not even HTTP. There is no request yet, so this writes to the connection itself. */
export function clientErrorHandler(newRequestId: () => string, accessLog: Pick<AccessLog, "refusedOdd">) {
  return (error: NodeJS.ErrnoException, socket: Socket): void => {
    // Node tells of it once for a request, and does nothing else.
    if (error.code === "ERR_HTTP_REQUEST_TIMEOUT" && hasSlowBody(socket)) return;
    // As Node's own handler does it: an answer already on its way must not be cut in two by this one.
    const current: Current | null | undefined = Reflect.get(socket, "_httpMessage");
    if (error.code === "ECONNRESET" || !socket.writable || current?.headersSent) {
      socket.destroy();
      return;
    }
    const refusal = { socket, error: malformed(error), requestId: newRequestId() };
    accessLog.refusedOdd(refusal);
    endWith(socket, refusal.error, { ...refusal, target: current?.req.url ?? targetIn(error) });
  };
}

/** The answer under way on a connection. */
type Current = Pick<ServerResponse, "headersSent" | "req">;

/** The target in the bytes that could not be read, where they are the beginning of a request. */
function targetIn(error: NodeJS.ErrnoException & { readonly rawPacket?: Buffer }): string | undefined {
  return /^[A-Z]+ (\S+)/.exec(error.rawPacket?.toString("latin1", 0, 200) ?? "")?.[1];
}

function malformed(error: NodeJS.ErrnoException): AltLasError {
  switch (error.code) {
    case "HPE_HEADER_OVERFLOW":
      return new AltLasError("headers_too_large", "The headers of the request must be at most 16 KiB.");
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return new AltLasError("request_timeout", "The request did not arrive completely in time.");
    default:
      return new AltLasError("invalid_input", `This is not a valid HTTP request: ${error.code ?? "unknown"}.`);
  }
}
