/** The probabilities of tokens, for people. */
import type { TokenLogprobView } from "../../http/schemas/tasks.ts";
import { legibleText } from "../../common/legible.ts";

/** A line for each token: its probability, and behind it the likeliest in its place. */
export function linesOfLogprobs(logprobs: readonly TokenLogprobView[]): string {
  const width = Math.max(0, ...logprobs.map(({ token }) => quoted(token).length));
  return logprobs
    .map((one) => {
      const others = one.top_logprobs.map(({ token, logprob }) => `${quoted(token)} ${percent(logprob)}`);
      return [quoted(one.token).padEnd(width), percent(one.logprob).padStart(7), ...others].join("  ").trimEnd();
    })
    .join("\n");
}

function quoted(token: string): string {
  return legibleText(JSON.stringify(token));
}

/** @param logprob natural logarithm */
function percent(logprob: number): string {
  return `${(100 * Math.exp(logprob)).toFixed(2)} %`;
}
