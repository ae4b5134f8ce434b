/** Prometheus's text format, as far as a gauge needs it (https://prometheus.io/docs/instrumenting/exposition_formats). */

/** All values of a metric, whatever their labels. */
function valuesOf(text: string, metric: string): number[] {
  const lines = text.matchAll(new RegExp(`^${metric}(?:\\{.*\\})? +(\\S+)`, "gm"));
  return [...lines].map(([, value]) => Number(value)).filter((value) => Number.isFinite(value));
}

/** The sum of a metric over its labels; null: it is not there. */
export function sumOf(text: string, metric: string): number | null {
  const values = valuesOf(text, metric);
  return values.length === 0 ? null : values.reduce((total, value) => total + value, 0);
}

/** The highest of a metric over its labels; null: it is not there. */
export function highestOf(text: string, metric: string): number | null {
  const values = valuesOf(text, metric);
  return values.length === 0 ? null : Math.max(...values);
}
