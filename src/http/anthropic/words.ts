/** Sentences about a call in the words of Anthropic's API: the server's own are about the fields of its other APIs. */
import { type FastifyReply } from "fastify";
import { AltLasError } from "../../errors.ts";
import { TaskFailure } from "../task-failure.ts";

/** Longer names before those that they begin with. */
const NAMES: readonly (readonly [ours: RegExp, theirs: string])[] = [
  [/\bresponse_format\.json_schema\.schema\b/g, "output_config.format.schema"],
  [/\bresponse_format\b/g, "output_config.format"],
  [/\btools\[(\d+)\]\.function\.parameters\b/g, "tools[$1].input_schema"],
  [/\btools\[(\d+)\]\.function\b/g, "tools[$1]"],
  [/\btool_choice\.function\b/g, "tool_choice"],
  [/(?<=^|: )stop(?= cannot)/g, "stop_sequences"],
];

export function inItsWords(sentence: string): string {
  return NAMES.reduce((text, [ours, theirs]) => text.replace(ours, theirs), sentence);
}

/** The same failure. */
export function failureInItsWords(error: unknown): unknown {
  if (!(error instanceof AltLasError)) return error;
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

/** Warnings that were made on the way. */
export function warnInItsWords(reply: FastifyReply): void {
  const warning = reply.getHeader("x-warning");
  if (typeof warning === "string") reply.header("x-warning", inItsWords(warning));
}
