/** `traceparent` and `tracestate`, as W3C Trace Context has them: read from requests, and sent on. */
import type { IncomingHttpHeaders } from "node:http";
import { hexOf, type SpanId, spanIdOf, type TraceId, traceIdOf } from "./ids.ts";

/** A place in a trace: what happens next is a child of the span. */
export interface TraceContext {
  readonly traceId: TraceId;
  readonly spanId: SpanId;
  readonly isSampled: boolean;
  /** `tracestate`; "": there is none. */
  readonly state: string;
}

/** Version, trace, span, flags; a later version may have more behind them. */
const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const MEMBER = /^[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;
const MOST_MEMBERS = 32;

/** The caller's span that a request belongs to; null: without a sane `traceparent`, none. */
export function contextIn({ traceparent, tracestate }: IncomingHttpHeaders): TraceContext | null {
  if (traceparent === undefined) return null;
  const [, version, trace, span, flags, rest] = TRACEPARENT.exec(String(traceparent).trim()) ?? [];
  if (trace === undefined || span === undefined || (version === "00" && rest !== undefined)) return null;
  const isSampled = (Number.parseInt(flags!, 16) & 1) === 1;
  return { traceId: traceIdOf(trace), spanId: spanIdOf(span), isSampled, state: stateIn(tracestate) };
}

/** The headers that tell another server of a span. */
export function headersOf({ traceId, spanId, isSampled, state }: TraceContext): Readonly<Record<string, string>> {
  const { a, b, c, d } = traceId;
  const traceparent = `00-${hexOf(a, b, c, d)}-${hexOf(spanId.high, spanId.low)}-${isSampled ? "01" : "00"}`;
  return state === "" ? { traceparent } : { traceparent, tracestate: state };
}

/** Members that are none are left out. */
function stateIn(given: string | readonly string[] | undefined): string {
  if (given === undefined) return "";
  const members = String(given).split(",");
  const sane = members.map((member) => member.trim()).filter((member) => MEMBER.test(member));
  return sane.slice(0, MOST_MEMBERS).join(",");
}
