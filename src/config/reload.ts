/** Reading the configuration again while the server runs: what counts at once, and what from the next start. */
import { isDeepStrictEqual } from "node:util";
import { type Config } from "./schema.ts";

/** The sections that count at once. */
const LIVE = ["models", "models_from_cache", "models_allow_urls"] as const satisfies (keyof Config)[];

/** The settings that may change while the server runs. */
export type LiveConfig = Pick<Config, (typeof LIVE)[number]>;

/** What became of a configuration that was read again. */
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
}

export interface ReloaderParts {
  /** The configuration of the start. */
  readonly config: Config;
  /** Reads and checks the configuration as at a start, overrides included. @throws {AltLasError} `bad_config` */
  readonly read: () => Config;
  /** Takes over what counts at once, all of it or nothing. @throws {AltLasError} it cannot be taken over */
  readonly apply: (config: Config) => void;
}

export class Reloader {
  readonly #parts: ReloaderParts;
  #live: LiveConfig;

  constructor(parts: ReloaderParts) {
    this.#parts = parts;
    this.#live = parts.config;
  }

  /** @throws {AltLasError} what is wrong with the configuration; nothing has changed then */
  reload(): ReloadReport {
    const { config, read, apply } = this.#parts;
    const next = read();
    const before = this.#live;
    apply(next);
    this.#live = next;
    const others = LIVE.filter((key) => key !== "models");
    return {
      models: differingModels(before.models, next.models),
      now: others.filter((key) => before[key] !== next[key]),
      later: differingKeys(without(config), without(next)),
    };
  }
}

/** For a command and the log: what counts at once, and what does not. */
export function reloadWords({ models, now, later }: ReloadReport): string {
  const parts = (["added", "changed", "removed"] as const).flatMap((what) =>
    models[what].length === 0 ? [] : [`${what} ${models[what].join(", ")}`],
  );
  const changes = [...(parts.length > 0 ? [`models: ${parts.join("; ")}`] : []), ...now];
  const first = changes.length === 0 ? "Nothing that counts at once has changed." : `In force: ${changes.join("; ")}.`;
  return later.length === 0 ? first : `${first} From the next start: ${later.join(", ")}.`;
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

function without(config: Config): object {
  return Object.fromEntries(Object.entries(config).filter(([key]) => !(LIVE as readonly string[]).includes(key)));
}

/** Names a list as a whole: its entries have no names of their own. */
function differingKeys(before: object, now: object, path: readonly string[] = []): string[] {
  const keys = new Set([...Object.keys(before), ...Object.keys(now)]);
  return [...keys].flatMap((key) => {
    const [one, other] = [before, now].map((values) => (values as Readonly<Record<string, unknown>>)[key]);
    if (isDeepStrictEqual(one, other)) return [];
    const at = [...path, key];
    return isSection(one) && isSection(other) ? differingKeys(one, other, at) : at.join(".");
  });
}

function isSection(value: unknown): value is object {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
