/** Values that were set while the server ran, over those of the file. They never keep a configuration from being used. */
import { isDeepStrictEqual } from "node:util";
import { shown } from "../common/validation.ts";
import { type Finding, type Path, touches } from "./findings.ts";
import { countsFrom, isKey, keyName, setValue, valueAt } from "./keys.ts";
import { checked } from "./load.ts";
import { RuntimeFile, type RuntimeValue } from "./runtime-file.ts";
import type { Config } from "./schema.ts";

/** The outcome for runtime values with a configuration that was read. */
export interface Settled {
  readonly config: Config;
  /** Those that hold. */
  readonly values: readonly RuntimeValue[];
  /** Keys whose value in the file has changed since, so that it counts again. */
  readonly outdated: readonly string[];
  /** Sentences about those that do not fit any more. */
  readonly unfit: readonly string[];
}

/** Values that were set while the server ran, as a start finds them. */
export interface Opened extends Settled {
  readonly file: RuntimeFile;
  /** Sentences about all that is ignored. */
  readonly ignored: readonly string[];
}

/** Reads what was set while the server ran; it never fails. @param base what the file, the environment and the command line say */
export function openValues(base: Config, dataDir: string): Opened {
  const file = new RuntimeFile(dataDir);
  const unreadable: string[] = [];
  const settled = settle(
    base,
    file.read((sentence) => unreadable.push(sentence)),
  );
  return { ...settled, file, ignored: [...unreadable, ...endings(settled)] };
}

/** Sentences about values that hold no more. */
export function endings({ outdated, unfit }: Pick<Settled, "outdated" | "unfit">): readonly string[] {
  return [
    ...outdated.map((key) => `${key} has changed in the file, which counts again.`),
    ...unfit.map((sentence) => `A value that was set while the server ran is ignored: ${sentence}`),
  ];
}

/** Says what holds, and in the place of what. */
export function holdingWords({ path, value, instead_of, by, at }: RuntimeValue): string {
  const before = instead_of === null ? "" : `, in the place of ${shown(instead_of)}`;
  return `${keyName(path)} is ${shown(value)}${before}: ${by} set it while the server ran (${at}).`;
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
    // A finding may name something else than its cause.
    values = sound.length === values.length ? [] : sound;
  }
}

/** A configuration with these values in the place of others. */
export function compose(base: Config, values: readonly RuntimeValue[]): ReturnType<typeof checked> {
  if (values.length === 0) return { config: base, findings: [] };
  const composed = structuredClone(base);
  for (const { path, value } of values) setValue(composed, path, structuredClone(value));
  return checked(composed);
}

/** The value of a configuration at a path, as the file of runtime values can keep it; null: none. */
export function saidBy(config: Config, path: Path): unknown {
  return valueAt(config, path) ?? null;
}

function isAbout({ path, from = [] }: Finding, of: Path): boolean {
  return [path, ...from].some((at) => touches(at, of));
}
