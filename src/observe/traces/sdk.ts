/** OpenTelemetry's SDK, set up by the environment. The exporter reads its own variables: endpoint, headers, timeout, compression, certificates. */
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import {
  detectResources,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceNameEnvDetector,
} from "@opentelemetry/resources";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { VERSION } from "../../common/version.ts";
import { type Logger } from "../../log/log.ts";

/** @throws {Error} a variable cannot be understood */
export function providerOf(environment: NodeJS.ProcessEnv, log: Logger): TracerProvider {
  const own = resourceFromAttributes({ "service.name": "alt-las", "service.version": VERSION });
  return new TracerProvider({
    sampler: samplerOf(environment),
    resource: own.merge(detectResources({ detectors: [resourceAttributesEnvDetector, serviceNameEnvDetector] })),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: tellingOnce(new OTLPTraceExporter(), log),
        ...numberIn(environment, "OTEL_BSP_SCHEDULE_DELAY", "scheduledDelayMillis"),
        ...numberIn(environment, "OTEL_BSP_EXPORT_TIMEOUT", "exportTimeoutMillis"),
        ...numberIn(environment, "OTEL_BSP_MAX_QUEUE_SIZE", "maxQueueSize"),
        ...numberIn(environment, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "maxExportBatchSize"),
      }),
    ],
  });
}

/** The SDK itself reads neither of the sampler's variables. */
function samplerOf(environment: NodeJS.ProcessEnv): Sampler {
  const { OTEL_TRACES_SAMPLER: name = "parentbased_always_on", OTEL_TRACES_SAMPLER_ARG: given = "1" } = environment;
  const root = name.replace(/^parentbased_/, "");
  const isByParent = root !== name;
  const sampler = rootSampler(root, given);
  if (sampler === null)
    throw new Error(
      `OTEL_TRACES_SAMPLER must be always_on, always_off, traceidratio or one of these behind parentbased_; it is ${name}.`,
    );
  return isByParent ? new ParentBasedSampler({ root: sampler }) : sampler;
}

function rootSampler(name: string, given: string): Sampler | null {
  switch (name) {
    case "always_on":
      return new AlwaysOnSampler();
    case "always_off":
      return new AlwaysOffSampler();
    case "traceidratio": {
      const share = Number(given);
      if (!(share >= 0 && share <= 1)) throw new Error(`OTEL_TRACES_SAMPLER_ARG must be from 0 to 1; it is ${given}.`);
      return new TraceIdRatioBasedSampler(share);
    }
    default:
      return null;
  }
}

function numberIn<Name extends string>(environment: NodeJS.ProcessEnv, variable: string, name: Name) {
  const given = environment[variable];
  if (given === undefined || given === "") return {};
  const value = Number(given);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${variable} must be a whole number; it is ${given}.`);
  return { [name]: value } as Record<Name, number>;
}

/** A collector that is away is told of once, and once more when it takes spans again: each batch would else be a line. */
function tellingOnce(exporter: SpanExporter, log: Logger): SpanExporter {
  let isFailing = false;
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        const hasFailed = result.error !== undefined || result.code !== SUCCESS;
        if (hasFailed && !isFailing)
          log.warn(`Spans cannot be sent, and are lost until they can: ${result.error?.message ?? "no reason"}`);
        if (!hasFailed && isFailing) log.info("Spans are sent again.");
        isFailing = hasFailed;
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => exporter.forceFlush?.(),
  };
}

/** `ExportResultCode.SUCCESS` of the SDK's core. */
const SUCCESS = 0;
