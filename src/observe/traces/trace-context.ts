/** `traceparent` and `tracestate`, as W3C Trace Context has them: read from requests, and sent on. */
import { type Context, createTraceState, ROOT_CONTEXT, type Span, type SpanContext, trace } from "@opentelemetry/api";
import { type IncomingHttpHeaders } from "node:http";

/** Version, trace, span, flags; a later version may have more behind them. */
const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** The trace that a request belongs to; without a sane `traceparent`, none. */
export function contextIn({ traceparent, tracestate }: IncomingHttpHeaders): Context {
  const [, version, traceId, spanId, flags, rest] = TRACEPARENT.exec(String(traceparent ?? "").trim()) ?? [];
  if (traceId === undefined || spanId === undefined || (version === "00" && rest !== undefined)) return ROOT_CONTEXT;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags!, 16) & 1,
    isRemote: true,
    ...(tracestate !== undefined && { traceState: createTraceState(String(tracestate)) }),
  });
}

/** For what a span causes. It names the span, and does not keep it. */
export function contextOf(span: Span): Context {
  return trace.setSpanContext(ROOT_CONTEXT, span.spanContext());
}

/** The headers that tell another server of a span. */
export function headersOf({ traceId, spanId, traceFlags, traceState }: SpanContext): Readonly<Record<string, string>> {
  const state = traceState?.serialize() ?? "";
  const traceparent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
  return { traceparent, ...(state !== "" && { tracestate: state }) };
}
