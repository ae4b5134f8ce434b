/** Settings from OpenTelemetry's variables of the environment: where spans go, and how many at once. */
import { readFileSync } from "node:fs";
import { VERSION } from "../../common/version.ts";
import { messageOf } from "../../errors.ts";

export interface TraceSettings {
  readonly collector: CollectorSettings;
  readonly batches: BatchSettings;
  /** The resource that sends them: pairs of a name and a value. */
  readonly resource: Readonly<Record<string, string>>;
}

export interface CollectorSettings {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Milliseconds for one batch, with all its tries. */
  readonly timeout: number;
  readonly gzip: boolean;
  /** Contents of the files that were named, for HTTPS. */
  readonly tls: { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer };
}

export interface BatchSettings {
  /** Milliseconds that a span waits at most until it is sent. */
  readonly delay: number;
  /** Spans that wait at most. */
  readonly most: number;
  /** Spans in one batch at most. */
  readonly size: number;
}

/** More spans than OpenTelemetry's own: at thousands of tasks a second those are there within the time of one message. */
const DEFAULTS = { timeout: 10_000, delay: 5000, most: 16_384, size: 2048 };

/**
 * @see https://opentelemetry.io/docs/specs/otel/protocol/exporter/
 * @throws {Error} a variable cannot be understood
 */
export function settingsOf(environment: NodeJS.ProcessEnv): TraceSettings {
  const most = wholeIn(environment, "OTEL_BSP_MAX_QUEUE_SIZE", DEFAULTS.most);
  const size = wholeIn(environment, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", DEFAULTS.size);
  return {
    collector: collectorOf(environment),
    batches: {
      delay: wholeIn(environment, "OTEL_BSP_SCHEDULE_DELAY", DEFAULTS.delay),
      most,
      size: Math.max(1, Math.min(size, most)),
    },
    resource: {
      "service.name": "alt-las",
      "service.version": VERSION,
      ...pairsIn(environment, "OTEL_RESOURCE_ATTRIBUTES"),
      ...(environment["OTEL_SERVICE_NAME"] && { "service.name": environment["OTEL_SERVICE_NAME"] }),
    },
  };
}

function collectorOf(environment: NodeJS.ProcessEnv): CollectorSettings {
  const { name, value: compression = "none" } = forTraces(environment, "COMPRESSION");
  if (compression !== "none" && compression !== "gzip")
    throw new Error(`${name} must be none or gzip; it is ${compression}.`);
  const timeout = forTraces(environment, "TIMEOUT");
  return {
    url: urlIn(environment),
    headers: {
      ...pairsIn(environment, "OTEL_EXPORTER_OTLP_HEADERS"),
      ...pairsIn(environment, "OTEL_EXPORTER_OTLP_TRACES_HEADERS"),
    },
    timeout: Math.min(
      wholeIn(environment, timeout.name, DEFAULTS.timeout),
      wholeIn(environment, "OTEL_BSP_EXPORT_TIMEOUT", Infinity),
    ),
    gzip: compression === "gzip",
    tls: {
      ...fileIn(environment, "CERTIFICATE", "ca"),
      ...fileIn(environment, "CLIENT_CERTIFICATE", "cert"),
      ...fileIn(environment, "CLIENT_KEY", "key"),
    },
  };
}

/** The variable for traces goes before the one for all that is sent. */
function forTraces(environment: NodeJS.ProcessEnv, what: string): { readonly name: string; readonly value?: string } {
  const name = `OTEL_EXPORTER_OTLP_TRACES_${what}`;
  const own = environment[name];
  if (own) return { name, value: own };
  const common = `OTEL_EXPORTER_OTLP_${what}`;
  const value = environment[common];
  return { name: common, ...(value && { value }) };
}

/** The general address is that of all signals, to which the path of traces is added. */
function urlIn(environment: NodeJS.ProcessEnv): URL {
  const { name, value = "" } = forTraces(environment, "ENDPOINT");
  const isOwn = name.includes("TRACES");
  const url = URL.parse(isOwn ? value : `${value.replace(/\/$/, "")}/v1/traces`);
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new Error(`${name} must be an address that begins with http:// or https://.`);
  return url;
}

function fileIn<Name extends string>(environment: NodeJS.ProcessEnv, what: string, as: Name) {
  const { name, value } = forTraces(environment, what);
  if (value === undefined) return {};
  try {
    return { [as]: readFileSync(value) } as Record<Name, Buffer>;
  } catch (error) {
    throw new Error(`${name} names a file that cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

function wholeIn(environment: NodeJS.ProcessEnv, variable: string, otherwise: number): number {
  const given = environment[variable];
  if (given === undefined || given === "") return otherwise;
  const value = Number(given);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${variable} must be a whole number; it is ${given}.`);
  return value;
}

/** `name=value,name=value`, with percent signs as in addresses. */
function pairsIn(environment: NodeJS.ProcessEnv, variable: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const pair of (environment[variable] ?? "").split(",").filter((one) => one.trim() !== "")) {
    const [name = "", ...value] = pair.split("=");
    if (name.trim() === "" || value.length === 0) throw pairError(variable);
    try {
      found[decodeURIComponent(name.trim())] = decodeURIComponent(value.join("=").trim());
    } catch {
      throw pairError(variable);
    }
  }
  return found;
}

/** The given value is not told: headers may hold a key. */
function pairError(variable: string): Error {
  return new Error(`${variable} must be a list like name=value,name=value, with what is special as percent signs.`);
}
