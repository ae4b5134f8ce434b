/** Reads JSON of others, of which nothing is taken on trust. */

/** undefined: it is not JSON. */
export function valueIn(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
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
