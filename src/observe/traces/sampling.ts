/** Which traces are recorded, as `OTEL_TRACES_SAMPLER` has it. All that this server adds to a trace is recorded, or nothing of it. */
import type { TraceId } from "./ids.ts";

/**
 * @param caller whether the caller records its part of the trace; null: there is none, the trace begins here
 */
export type Sampler = (traceId: TraceId, caller: boolean | null) => boolean;

/** Bits of an id that a number holds exactly, and those of them in its last but one word. */
const BITS = 52;
const UPPER = 2 ** (BITS - 32) - 1;

/** @throws {Error} one of the two variables cannot be understood */
export function samplerOf(environment: NodeJS.ProcessEnv): Sampler {
  const { OTEL_TRACES_SAMPLER: name = "parentbased_always_on", OTEL_TRACES_SAMPLER_ARG: share = "1" } = environment;
  const root = name.replace(/^parentbased_/, "");
  const sampler = rootSampler(root, share);
  if (sampler === null)
    throw new Error(
      `OTEL_TRACES_SAMPLER must be always_on, always_off, traceidratio or one of these behind parentbased_; it is ${name}.`,
    );
  return root === name ? sampler : (traceId, caller) => caller ?? sampler(traceId, null);
}

function rootSampler(name: string, given: string): Sampler | null {
  switch (name) {
    case "always_on":
      return () => true;
    case "always_off":
      return () => false;
    case "traceidratio": {
      const share = Number(given);
      if (!(share >= 0 && share <= 1)) throw new Error(`OTEL_TRACES_SAMPLER_ARG must be from 0 to 1; it is ${given}.`);
      // The last bits are the random ones, whoever made the id; so other programs choose the same traces.
      return ({ c, d }) => (c & UPPER) * 2 ** 32 + (d >>> 0) >= (1 - share) * 2 ** BITS;
    }
    default:
      return null;
  }
}
