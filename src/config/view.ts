/** The configuration for people: `GET /config`. */
import { changeableKeys, everyValue, keyName, redacted } from "./keys.ts";
import type { LiveSettings } from "./live.ts";

/** The configuration, and where it comes from. */
export interface ConfigView {
  /** Every key; null: it has no value, or a secret one. */
  readonly config: unknown;
  /** The same keys, each with where its value comes from: see `Source`. */
  readonly sources: unknown;
  /** Values that were set while the server ran, and hold. */
  readonly runtime: readonly RuntimeView[];
  /** Keys that may be changed while the server runs; `*` stands for a name. */
  readonly changeable: readonly string[];
}

interface RuntimeView {
  readonly key: string;
  readonly value: unknown;
  /** The value of the file, the environment or the command line; null: none. */
  readonly instead_of: unknown;
  readonly by: string;
  readonly at: string;
}

export function configView(live: Pick<LiveSettings, "config" | "values" | "sourceOf">): ConfigView {
  const { config, values } = live;
  return {
    config: everyValue(config, ({ path, value }) => redacted(value, path) ?? null),
    sources: everyValue(config, ({ path }) => live.sourceOf(path)),
    runtime: values.map(({ path, value, instead_of, by, at }) => ({
      key: keyName(path),
      value: redacted(value, path),
      instead_of: redacted(instead_of, path),
      by,
      at,
    })),
    changeable: changeableKeys(),
  };
}
