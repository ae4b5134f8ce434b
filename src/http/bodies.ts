/** Reads bodies, within what the requests under way may hold. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { AltLasError, messageOf } from "../errors.ts";
import { type BodyQueue, heapCostOf, isLarge } from "./body-queue.ts";
import { onceClosed } from "./closing.ts";
import { parseJson } from "../common/parse-json.ts";
import type { Holding, RequestMemory } from "./request-memory.ts";

type BodyParser = (
  request: FastifyRequest,
  payload: IncomingMessage,
  done: (error: Error | null, body?: unknown) => void,
) => void;

declare module "fastify" {
  interface FastifyInstance {
    /** Reads a body that is JSON, whatever it says of itself; for routes of which each body is. */
    readonly readJson: BodyParser;
  }
  interface FastifyRequest {
    /** Where its answer goes; a body is read before there is a reply. */
    response: ServerResponse;
    /** The cost of its body; null: none. */
    body_cost: BodyCost | null;
  }
  interface FastifyContextConfig {
    /** Members that a body of this route may have beyond those of others; absent: none. */
    readonly moreParts?: number;
  }
}

/** The share of a body in the memory for requests, and its turn if it is large. */
interface BodyCost {
  /** Somebody works on it who will release it; until then that its client has gone makes nothing free. */
  inUse: boolean;
  /** Calling it again is harmless. */
  readonly release: () => void;
}

/** The parts that count bodies. */
export interface BodyRoom {
  readonly memory: RequestMemory;
  readonly queue: BodyQueue;
}

export interface BodyLimits {
  /** Bytes of one body. */
  readonly maxBytes: number;
  /** Lists, objects and members of one body. */
  readonly maxParts: () => number;
}

/** Makes the application read JSON bodies, and nothing else. */
export function readJsonBodies(app: FastifyInstance, limits: BodyLimits, room: BodyRoom): void {
  const readJson: BodyParser = (request, payload, done) => {
    readBody(request, payload, limits.maxBytes, room, (error, body) => {
      if (body === null) return done(error);
      try {
        const usual = limits.maxParts();
        // Nothing has more parts than bytes.
        const more = body.length <= usual ? 0 : (request.routeOptions.config.moreParts ?? 0);
        done(null, parseJson(body, usual + more));
      } catch (thrown) {
        done(thrown as Error);
      }
    });
  };
  app.decorateRequest("body_cost", null);
  app.decorate("readJson", readJson);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", readJson);
}

/**
 * Does what uses a body up. The cost of the body counts until then, even if its client has gone; and not longer, because the queue
 * counts what it keeps by itself, and a request that is held for its task must not keep the text as well.
 */
export async function usingBody<T>(request: FastifyRequest, work: () => Promise<T>): Promise<T> {
  const used = useBody(request);
  try {
    return await work();
  } finally {
    used();
  }
}

/** As `usingBody`, for who calls what is returned when the body is used up, whatever has happened. */
export function useBody(request: FastifyRequest): () => void {
  const cost = request.body_cost;
  if (cost !== null) cost.inUse = true;
  return () => {
    request.body = undefined;
    cost?.release();
  };
}

type Read = (error: Error | null, body: Buffer | null) => void;

/** @param done called once, with the body or with why there is none @throws {AltLasError} its headers say that it cannot be taken */
function readBody(
  request: FastifyRequest,
  payload: IncomingMessage,
  maxBytes: number,
  room: BodyRoom,
  done: Read,
): void {
  const announced = Number(request.headers["content-length"] ?? Number.NaN);
  if (announced > maxBytes) throw tooLarge(maxBytes);
  const user = request.caller.name;
  if (announced > 0) room.memory.refuseIfFull(user, announced);
  const reader = new BodyReader(payload, { user, announced, maxBytes, room, done });
  request.body_cost = reader;
  onceClosed(request.response, () => {
    if (!reader.inUse) reader.release();
  });
  reader.start();
  inviteBody(request);
  payload.resume();
}

interface Reading {
  readonly user: string;
  /** Bytes that its headers announce; NaN: none. */
  readonly announced: number;
  readonly maxBytes: number;
  readonly room: BodyRoom;
  readonly done: Read;
}

/**
 * Collects a body. Memory is taken as it arrives; a body that cannot fit any more is refused before it is sent at all. A large one that
 * has arrived waits for its turn.
 */
class BodyReader implements BodyCost {
  inUse = false;
  readonly #payload: IncomingMessage;
  readonly #reading: Reading;
  readonly #chunks = new Chunks();
  readonly #holding: Holding;
  #leaveQueue: (() => void) | undefined;
  #isWhole = false;
  #isOver = false;

  constructor(payload: IncomingMessage, reading: Reading) {
    this.#payload = payload;
    this.#reading = reading;
    this.#holding = reading.room.memory.hold(reading.user, (error) => this.#fail(error));
  }

  start(): void {
    this.#payload.on("data", this.#onData).on("end", this.#onEnd).on("error", this.#onError);
  }

  /** Gives back its memory and its turn. Calling it again is harmless. */
  release(): void {
    this.#isOver = true;
    this.#holding.release();
    this.#leaveQueue?.();
  }

  readonly #onData = (chunk: Buffer): void => {
    const { maxBytes } = this.#reading;
    try {
      if (this.#chunks.length + chunk.length > maxBytes) throw tooLarge(maxBytes);
      this.#holding.take(chunk.length);
    } catch (error) {
      return this.#fail(error as Error);
    }
    this.#chunks.add(chunk);
  };

  readonly #onEnd = (): void => {
    const { announced } = this.#reading;
    if (Number.isNaN(announced) || announced === this.#chunks.length) return this.#arrived();
    this.#fail(new AltLasError("invalid_input", "The body is not as long as the Content-Length header says."));
  };

  readonly #onError = (error: Error): void => {
    // A client that leaves later is nothing to the body.
    if (!this.#isWhole) this.#fail(new AltLasError("invalid_input", `The request cannot be read: ${messageOf(error)}`));
  };

  #arrived(): void {
    const { maxBytes, room } = this.#reading;
    this.#isWhole = true;
    const body = this.#chunks.take();
    const cost = heapCostOf(body);
    if (isLarge(body.length, maxBytes)) {
      this.#leaveQueue = room.queue.take(cost, () => this.#begin(body));
      if (this.#isOver) this.#leaveQueue();
      return;
    }
    try {
      if (cost > body.length) this.#holding.take(cost - body.length);
    } catch (error) {
      return this.#fail(error as Error);
    }
    this.#begin(body);
  }

  #begin(body: Buffer): void {
    this.#holding.keep();
    this.#reading.done(null, body);
  }

  #fail(error: Error): void {
    this.#stop();
    this.#chunks.take();
    this.release();
    // The rest of the body is read and dropped.
    this.#payload.on("error", () => {}).resume();
    this.#reading.done(error, null);
  }

  #stop(): void {
    this.#payload.off("data", this.#onData).off("end", this.#onEnd).off("error", this.#onError);
  }
}

/** Sends the 100 that a client may wait for; before this, a refused one would be invited to send all of its body. */
export function inviteBody({ raw, headers, response }: FastifyRequest): void {
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
  /** The buffer that collects the pieces, and how much of it is used. */
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
