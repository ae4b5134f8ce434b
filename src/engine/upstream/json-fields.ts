/** Reads JSON of a server, of which nothing is taken on trust. */
import { UpstreamError } from "./upstream-error.ts";

/** undefined: it is not JSON. */
export function valueIn(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}

/** @throws {UpstreamError} it is no object in JSON */
export function objectIn(data: string): Record<string, unknown> {
  const value = valueIn(data);
  if (isObject(value)) return value;
  throw new UpstreamError(null, `it sent what makes no sense: ${data.slice(0, 100)}`);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** The number that a field gives; null: it gives none. */
export function numberIn(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

export function textIn(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}
