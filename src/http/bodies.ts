/** Reads bodies, within what the requests under way may hold. */
import { type IncomingMessage, type ServerResponse } from "node:http";
import { type FastifyInstance, type FastifyRequest } from "fastify";
import { AltLasError, messageOf } from "../errors.ts";
import { parseJson } from "./json.ts";
import { type Holding, type RequestMemory } from "./request-memory.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Where its answer goes; for whoever reads a body, which has no reply. */
    response: ServerResponse;
    /** What its body holds of the memory for requests; null: nothing. */
    body_memory: Holding | null;
  }
}

export interface BodyLimits {
  /** Bytes of one body. */
  readonly maxBytes: number;
  /** Lists, objects and members of one body. */
  readonly maxParts: number;
}

/** Makes the application read JSON bodies, and nothing else. */
export function readJsonBodies(app: FastifyInstance, limits: BodyLimits, memory: RequestMemory): void {
  app.decorateRequest("body_memory", null);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", (request, payload, done) => {
    readBody(request, payload, limits.maxBytes, memory, (error, body) => {
      if (body === null) return done(error);
      try {
        done(null, parseJson(body, limits.maxParts));
      } catch (thrown) {
        done(thrown as Error);
      }
    });
  });
}

/**
 * What was read is used up: a request that is held for its task must not keep the text as well. Its memory is not counted any more,
 * because the queue counts what it keeps by itself.
 */
export function forgetBody(request: FastifyRequest): void {
  request.body = undefined;
  request.body_memory?.release();
}

type Read = (error: Error | null, body: Buffer | null) => void;

/**
 * Collects a body. Memory is taken as it arrives; a body that cannot fit any more is refused before it is sent at all.
 * @param done called once, with the body or with why there is none
 */
function readBody(
  request: FastifyRequest,
  payload: IncomingMessage,
  maxBytes: number,
  memory: RequestMemory,
  done: Read,
): void {
  const announced = Number(request.headers["content-length"] ?? Number.NaN);
  if (announced > maxBytes) throw tooLarge(maxBytes);
  const user = request.caller.name;
  if (announced > 0) memory.refuseIfFull(user, announced);
  const chunks = new Chunks();
  const end = (error: Error | null): void => {
    payload.off("data", onData).off("end", onEnd).off("error", onError);
    if (error === null) return done(null, chunks.take());
    chunks.take();
    holding.release();
    // What still comes is let go.
    payload.on("error", () => {}).resume();
    done(error, null);
  };
  const holding = memory.hold(user, (error) => end(error));
  const onData = (chunk: Buffer): void => {
    try {
      if (chunks.length + chunk.length > maxBytes) throw tooLarge(maxBytes);
      holding.take(chunk.length);
    } catch (error) {
      return end(error as Error);
    }
    chunks.add(chunk);
  };
  const onEnd = (): void => {
    const isWhole = Number.isNaN(announced) || announced === chunks.length;
    end(
      isWhole ? null : new AltLasError("invalid_input", "The body is not as long as the Content-Length header says."),
    );
  };
  const onError = (error: Error): void =>
    end(new AltLasError("invalid_input", `The request cannot be read: ${messageOf(error)}`));
  request.body_memory = holding;
  request.response.once("close", () => holding.release());
  payload.on("data", onData).on("end", onEnd).on("error", onError);
  inviteBody(request);
  payload.resume();
}

/** Sends the 100 that a client may wait for; before this, a refused one would be invited to send all of its body. */
function inviteBody({ raw, headers, response }: FastifyRequest): void {
  if (headers.expect !== undefined && raw.httpVersion === "1.1") response.writeContinue();
}

function tooLarge(maxBytes: number): AltLasError {
  return new AltLasError("body_too_large", `The body must be at most ${maxBytes} bytes.`);
}

/** Pieces below this are copied together: each by itself costs hundreds of bytes, which a body of single bytes would multiply. */
const BLOCK = 16 * 1024;

/** A body as it comes. */
class Chunks {
  length = 0;
  #whole: Buffer[] = [];
  /** What the last of the pieces is copied into, and how much of it is used. */
  #block: Buffer | null = null;
  #used = 0;

  add(chunk: Buffer): void {
    // Most bodies come in one piece, which is not copied.
    if (this.length === 0 || chunk.length >= BLOCK) {
      this.#closeBlock();
      this.#whole.push(chunk);
    } else {
      if (this.#block === null || this.#used + chunk.length > BLOCK) {
        this.#closeBlock();
        this.#block = Buffer.allocUnsafeSlow(BLOCK);
      }
      this.#used += chunk.copy(this.#block, this.#used);
    }
    this.length += chunk.length;
  }

  /** All of it; nothing is kept here. */
  take(): Buffer {
    this.#closeBlock();
    const pieces = this.#whole;
    this.#whole = [];
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, this.length);
  }

  #closeBlock(): void {
    if (this.#block !== null) this.#whole.push(this.#block.subarray(0, this.#used));
    this.#block = null;
    this.#used = 0;
  }
}
