/** Values that were set while the server ran, over those of the file. They never keep a configuration from being used. */
import { isDeepStrictEqual } from "node:util";
import { type Finding, type Path, touches } from "./findings.ts";
import { countsFrom, isKey, keyName, valueAt, withValue } from "./keys.ts";
import { checked } from "./load.ts";
import { type RuntimeValue } from "./runtime-file.ts";
import { type Config } from "./schema.ts";

/** What becomes of runtime values with a configuration that was read. */
export interface Settled {
  readonly config: Config;
  /** Those that hold. */
  readonly values: readonly RuntimeValue[];
  /** Keys whose value in the file has changed since, so that it counts again. */
  readonly outdated: readonly string[];
  /** Sentences about those that do not fit any more. */
  readonly unfit: readonly string[];
}

/** @param base what the file, the environment and the command line say */
export function settle(base: Config, all: readonly RuntimeValue[]): Settled {
  const known = all.filter(({ path }) => isKey(path) && countsFrom(path) === "now");
  const unknown = all.filter((one) => !known.includes(one)).map(({ path }) => `${keyName(path)} cannot be set so.`);
  const current = known.filter(({ path, instead_of }) => isDeepStrictEqual(saidBy(base, path), instead_of));
  const outdated = known.filter((one) => !current.includes(one)).map(({ path }) => keyName(path));
  let values = current;
  const unfit = [...unknown];
  for (;;) {
    const { config, findings } = compose(base, values);
    if (findings.length === 0) return { config, values, outdated, unfit };
    unfit.push(...findings.map(({ sentence }) => sentence));
    const sound = values.filter(({ path }) => !findings.some((finding) => isAbout(finding, path)));
    // What is wrong may be told of something else than its cause.
    values = sound.length === values.length ? [] : sound;
  }
}

/** A configuration with these values in the place of others. */
export function compose(base: Config, values: readonly RuntimeValue[]): ReturnType<typeof checked> {
  if (values.length === 0) return { config: base, findings: [] };
  const composed = values.reduce<unknown>((config, { path, value }) => withValue(config, path, value), base);
  return checked(structuredClone(composed));
}

/** What a configuration says at a path, as the file of runtime values can keep it; null: nothing. */
export function saidBy(config: Config, path: Path): unknown {
  return valueAt(config, path) ?? null;
}

function isAbout({ path, from = [] }: Finding, of: Path): boolean {
  return [path, ...from].some((at) => touches(at, of));
}
