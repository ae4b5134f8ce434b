/** Whether traces are to be sent, by the environment's OTEL_ variables. The code that sends them is loaded only then. */
import { messageOf } from "../errors.ts";
import type { Logger } from "../log/log.ts";

/** The sending of traces, while they are on. */
export interface RunningTraces {
  /** Sends what is left, for a moment. */
  stop(): Promise<void>;
}

/** @see https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ */
export function wantsTraces(environment: NodeJS.ProcessEnv): boolean {
  const { OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT } = environment;
  const endpoint = OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || OTEL_EXPORTER_OTLP_ENDPOINT;
  const isOff =
    environment["OTEL_SDK_DISABLED"]?.toLowerCase() === "true" || environment["OTEL_TRACES_EXPORTER"] === "none";
  return Boolean(endpoint) && !isOff;
}

/** null: nobody wants traces, or their settings are wrong, which the log says: no server stays down for them. */
export async function startTraces(environment: NodeJS.ProcessEnv, log: Logger): Promise<RunningTraces | null> {
  if (!wantsTraces(environment)) return null;
  try {
    const { Traces } = await import("./traces/traces.ts");
    return new Traces(environment, log);
  } catch (error) {
    log.error(`No traces are sent, as their settings cannot be used: ${messageOf(error)}`);
    return null;
  }
}
