/**
 * Passes to the rest of an answer. A server that stands by gets it with another request, as the text comes from elsewhere (relay.ts). So that request is
 * refused for no number of open ones; and as a submission is answered to its end, that of one is let in whatever its key may read, also when that ends
 * meanwhile. A pass is known to servers alone, and to no next leader.
 */
import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import type { FastifyInstance, FastifyReply } from "fastify";
import type { Caller } from "../../auth/credentials.ts";
import { onceClosed } from "../closing.ts";
import { pathOf } from "../target.ts";
import type { Reader } from "../task-stream.ts";

declare module "fastify" {
  interface FastifyInstance {
    passes?: Passes;
  }
  interface FastifyRequest {
    /** With which it asks for the rest of an answer, or that was made for the rest of its own. */
    pass?: Pass;
  }
}

/** Milliseconds after its last answer in which a pass is good: such a server asks for half a minute. */
const LIVES = 60_000;

/** Finds the passes of requests; to be called before anybody is asked for credentials. */
export function admitByPasses(closed: FastifyInstance): void {
  const passes = new Passes();
  closed.decorate("passes", passes);
  closed.addHook("onRequest", (request, { raw }, done) => {
    const given = request.passage?.pass ?? null;
    const pass = given === null ? null : passes.find(given, request);
    if (pass !== null) {
      request.pass = pass;
      pass.admit(raw);
    }
    done();
  });
}

class Passes {
  readonly #passes = new Map<string, Pass>();

  /** Makes one for the rest of an answer. */
  give({ request, raw }: FastifyReply, { id, onLeft }: Reader): void {
    const path = `/api/v1/task/${id}/events`;
    const isSubmission = request.method === "POST";
    const pass = new Pass(request.caller, path, { isSubmission, onLeft, onOver: () => this.#passes.delete(pass.key) });
    this.#passes.set(pass.key, pass);
    request.pass = pass;
    onceClosed(raw, () => {
      pass.isFirstOpen = false;
    });
    pass.admit(raw);
  }

  find(key: string, { method, url }: { readonly method: string; readonly url: string }): Pass | null {
    const pass = this.#passes.get(key);
    return pass !== undefined && method === "GET" && pathOf(url) === pass.path ? pass : null;
  }
}

export class Pass {
  readonly key = randomBytes(24).toString("base64url");
  /** The caller that has submitted the task, and so reads its events; null: it was no submission, and credentials are asked for. */
  readonly submitter: Caller | null;
  /** The only one that it opens. */
  readonly path: string;
  isFirstOpen = true;
  #last: ServerResponse | null = null;
  readonly #onOver: () => void;
  #onLeft: (() => void) | undefined;
  #open = 0;
  #ends: NodeJS.Timeout | undefined;

  constructor(
    caller: Caller,
    path: string,
    {
      isSubmission,
      onLeft,
      onOver,
    }: Pick<Reader, "onLeft"> & { readonly isSubmission: boolean; readonly onOver: () => void },
  ) {
    this.submitter = isSubmission ? { ...caller, scopes: null } : null;
    this.path = path;
    this.#onLeft = onLeft;
    this.#onOver = onOver;
  }

  /** Whether the answer to the submission goes on: with it, its client is there, and counted. */
  get isCounted(): boolean {
    return this.submitter !== null && this.isFirstOpen;
  }

  /** An answer begins. When the last one was long ago, its client has left without a word. */
  admit(response: ServerResponse): void {
    // Its reader hears nothing of that one any more.
    if (this.submitter === null && this.#last?.writableEnded === false) this.#last.destroy();
    this.#last = response;
    this.#open++;
    clearTimeout(this.#ends);
    onceClosed(response, () => {
      if (--this.#open > 0) return;
      this.#ends = setTimeout(() => {
        this.#onOver();
        this.#leave();
      }, LIVES).unref();
    });
  }

  /** Its client leaves, unless the first answer goes on. */
  readonly left = (): void => {
    if (!this.isFirstOpen) this.#leave();
  };

  /** Nothing comes of its client's leaving any more, or another one sees to it. */
  settle(): void {
    this.#onLeft = undefined;
  }

  #leave(): void {
    const onLeft = this.#onLeft;
    this.#onLeft = undefined;
    onLeft?.();
  }
}
