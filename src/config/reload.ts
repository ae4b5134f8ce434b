/** The changes of a configuration that was read again. */
import { isDeepStrictEqual } from "node:util";
import { countsFrom, keyName, leavesOf, valueAt } from "./keys.ts";
import type { Config } from "./schema.ts";

/** The outcome of reading a configuration again. */
export interface ReloadReport {
  /** The names of models, each in one of the lists at most. */
  readonly models: {
    readonly added: readonly string[];
    readonly changed: readonly string[];
    readonly removed: readonly string[];
  };
  /** Other keys that count at once and have changed. */
  readonly now: readonly string[];
  /** Keys that have changed and count from the next start. */
  readonly later: readonly string[];
  /** Keys whose value was set while the server ran, and hides what the file says. */
  readonly hidden: readonly string[];
  /** Sentences about values that were set while the server ran, and hold no more. */
  readonly ended: readonly string[];
  /** A sentence on what became of the certificate; null: there is none, or it is the same. */
  readonly certificate: string | null;
}

/** Names what differs in all that counts at once. */
export function liveDifferences(before: Config, now: Config): Pick<ReloadReport, "models" | "now"> {
  const keys = differingKeys(before, now).filter((path) => countsFrom(path) !== "start");
  return {
    models: differingModels(before.models, now.models),
    now: keys.map(keyName).filter((key) => key !== "models"),
  };
}

/** Keys that differ and count from the next start. @param start the configuration of the start */
export function laterDifferences(start: Config, now: Config): readonly string[] {
  return differingKeys(start, now)
    .filter((path) => countsFrom(path) === "start")
    .map(keyName);
}

/** For a command and the log: what counts at once, and what does not. */
export function reloadWords({ models, now, later, hidden, ended, certificate }: ReloadReport): string {
  const parts = (["added", "changed", "removed"] as const).flatMap((what) =>
    models[what].length === 0 ? [] : [`${what} ${models[what].join(", ")}`],
  );
  const changes = [...(parts.length > 0 ? [`models: ${parts.join("; ")}`] : []), ...now];
  return [
    changes.length === 0 ? "Nothing that counts at once has changed." : `In force: ${changes.join("; ")}.`,
    ...(later.length === 0 ? [] : [`From the next start: ${later.join(", ")}.`]),
    ...(hidden.length === 0 ? [] : [`Set while the server ran, and not as the file says: ${hidden.join(", ")}.`]),
    ...ended,
    ...(certificate === null ? [] : [certificate]),
  ].join(" ");
}

function differingModels(before: Config["models"], now: Config["models"]): ReloadReport["models"] {
  const old = new Map(before.map((model) => [model.name, model]));
  const names = new Set(now.map(({ name }) => name));
  return {
    added: now.flatMap(({ name }) => (old.has(name) ? [] : name)),
    changed: now.flatMap((model) =>
      old.has(model.name) && !isDeepStrictEqual(old.get(model.name), model) ? model.name : [],
    ),
    removed: before.flatMap(({ name }) => (names.has(name) ? [] : name)),
  };
}

/** A list differs as a whole: its entries have no names of their own. */
export function differingKeys(before: Config, now: Config): (readonly (string | number)[])[] {
  const paths = [...leavesOf(now), ...leavesOf(before)].map(({ path }) => path);
  const each = new Map(paths.map((path) => [JSON.stringify(path), path]));
  return [...each.values()].filter((path) => !isDeepStrictEqual(valueAt(before, path), valueAt(now, path)));
}
