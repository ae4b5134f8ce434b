/** Sentences about a call in the words of the API that it came by: the server's own are about the fields of its own and of OpenAI's. */
import type { FastifyReply } from "fastify";
import { AltLasError } from "../../errors.ts";
import { TaskFailure } from "../task-failure.ts";

/** Longer names before those that they begin with. */
export type Names = readonly (readonly [ours: RegExp, theirs: string])[];

export interface Words {
  inItsWords(sentence: string): string;
  /** The same failure. */
  failureInItsWords(error: unknown): unknown;
  /** Warnings that were made on the way. */
  warnInItsWords(reply: FastifyReply): void;
}

export function wordsOf(names: Names): Words {
  const inItsWords = (sentence: string): string =>
    names.reduce((text, [ours, theirs]) => text.replace(ours, theirs), sentence);
  return {
    inItsWords,
    failureInItsWords: (error) => (error instanceof AltLasError ? translated(error, inItsWords) : error),
    warnInItsWords: (reply) => {
      const warning = reply.getHeader("x-warning");
      if (typeof warning === "string") reply.header("x-warning", inItsWords(warning));
    },
  };
}

function translated(error: AltLasError, inItsWords: Words["inItsWords"]): AltLasError {
  const message = inItsWords(error.message);
  if (message === error.message) return error;
  const { code, details, retryAfter, param, cause } = error;
  const options = {
    details,
    cause,
    ...(retryAfter !== undefined && { retryAfter }),
    ...(param !== null && { param: inItsWords(param) }),
  };
  return error instanceof TaskFailure
    ? new TaskFailure(code, message, options)
    : new AltLasError(code, message, options);
}
