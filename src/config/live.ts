/**
 * The configuration as it holds now. Three layers, the later ones first: values that were set while the server ran; the file, the
 * environment and the command line as they were read last, as far as they count at once; all else as it was at the start.
 */
import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import { wallTimeText } from "../common/clock.ts";
import { shown } from "../common/validation.ts";
import { AltLasError, messageOf } from "../errors.ts";
import { tellOperators } from "../topics.ts";
import { type Finding, listed, type Path } from "./findings.ts";
import { countsFrom, isKey, keyName, leavesOf, LIVE_KEYS, redacted, valueAt, withValue } from "./keys.ts";
import { deepFreeze, withoutNulls } from "./load.ts";
import { differingKeys, laterDifferences, liveDifferences, type ReloadReport, reloadWords } from "./reload.ts";
import type { RuntimeFile, RuntimeValue } from "./runtime-file.ts";
import { compose, endings, holdingWords, openValues, saidBy, settle, type Settled } from "./runtime-values.ts";
import type { Config } from "./schema.ts";
import { pathText, type Source, sourceOf } from "./sources.ts";

export interface LiveParts {
  /** As it was read for this start. */
  readonly config: Config;
  /** Reads it again. @throws {AltLasError} `bad_config` */
  readonly read: () => Config;
  readonly dataDir: string;
  readonly log: Pick<Logger, "info" | "warn" | "isLevelEnabled">;
}

/** Those who use what changes. */
export interface LiveUsers {
  /** Refuses what the parts cannot take over. @throws {AltLasError} */
  readonly check: (next: Config) => void;
  /** Takes over all of it; it must not fail. */
  readonly apply: (next: Config, before: Config) => void;
  /** As `apply`, when the file was read again: it also tries again what could not be done before. @returns as of `ReloadReport` */
  readonly reload: (next: Config, before: Config) => Pick<ReloadReport, "certificate">;
  /** Refuses what no request may ask for, unless one of those before has it. @throws {AltLasError} */
  readonly refuse: (next: Config, before: readonly Config[]) => void;
}

const NOBODY: LiveUsers = {
  check: () => {},
  refuse: () => {},
  apply: () => {},
  reload: () => ({ certificate: null }),
};

/** Values that may be set while the server runs; whoever wants more writes them into the file. */
const MOST_VALUES = 1000;

/** Bytes of one change in JSON, and of all values together: each answer and each change has them all. */
const MOST_BYTES = 256 * 1024;

const TOO_MANY = `At most ${MOST_VALUES} values may be set while the server runs; write them into the configuration file.`;

const TOO_LONG = `A change of the configuration, and all values that are set while the server runs, may have ${MOST_BYTES} bytes; write longer ones into the configuration file.`;

/** Characters of a sentence about changes. */
const MOST_WORDS = 500;

export class LiveSettings {
  readonly #parts: LiveParts;
  readonly #file: RuntimeFile;
  readonly #start: Config;
  #users = NOBODY;
  /** As it was read last. */
  #base: Config;
  #values: readonly RuntimeValue[];
  /** Their paths, as texts. */
  #set: ReadonlySet<string>;
  #config: Config;

  /** Takes over what was set before the start; what of that cannot be used is a warning. The data directory has to be there. */
  constructor(parts: LiveParts) {
    this.#parts = parts;
    const opened = openValues(parts.config, parts.dataDir);
    this.#file = opened.file;
    this.#start = opened.config;
    this.#config = opened.config;
    this.#base = parts.config;
    this.#values = opened.values;
    this.#set = pathsOf(opened.values);
    for (const sentence of opened.ignored) parts.log.warn(sentence);
    for (const value of opened.values) parts.log.info(holdingWords(value));
    this.#forget(opened);
  }

  /** As it holds now; another object after each change. */
  get config(): Config {
    return this.#config;
  }

  /** Where a value comes from that holds now. */
  sourceOf(path: Path): Source {
    if (this.#set.has(pathText(path))) return "runtime";
    return sourceOf(countsFrom(path) === "start" ? this.#parts.config : this.#base, path);
  }

  /** Those that were set while the server ran, and hold. */
  get values(): readonly RuntimeValue[] {
    return this.#values;
  }

  /** From now on these take over what changes. */
  use(users: LiveUsers): void {
    this.#users = users;
  }

  /**
   * Changes values: a JSON merge patch (RFC 7396), in which null is what the file says, or the default.
   * @param by the user
   * @returns the keys that it has changed, like `log.level`
   * @throws {AltLasError} `invalid_input`, with everything that is wrong; `conflict`: a key that counts from the next start;
   * `store_unavailable`: it cannot be kept. Nothing has changed then
   */
  patch(patch: object, by: string): readonly string[] {
    const values = this.#patched(patch, by);
    if (isDeepStrictEqual(values, this.#values)) return [];
    const { config } = compose(this.#base, values);
    const next = this.#mixed(config);
    try {
      this.#users.refuse(next, [this.#config, this.#base]);
      this.#users.check(next);
    } catch (error) {
      if (!(error instanceof AltLasError)) throw error;
      throw new AltLasError("invalid_input", error.message, {
        ...(error.param && { param: error.param }),
        cause: error,
      });
    }
    this.#keep(values);
    const before = this.#config;
    this.#take(next, this.#base, values);
    const what = changeWords(before, next);
    const { log } = this.#parts;
    const tell = (): void => log.info({ by }, `configuration changed: ${what}`);
    // A change that makes the log quieter has its line, too.
    const isHeard = log.isLevelEnabled("info");
    if (isHeard) tell();
    this.#users.apply(next, before);
    if (!isHeard) tell();
    tellOperators({ kind: "config", event: "changed", by, sentence: `${by} changed the configuration: ${what}.` });
    return differingKeys(before, next).map(keyName);
  }

  /** @throws {AltLasError} what is wrong with the configuration; nothing has changed then */
  reload(): ReloadReport {
    try {
      return this.#reload();
    } catch (error) {
      const sentence = `The configuration was read again and is not taken over: ${messageOf(error)}`;
      tellOperators({ kind: "config", event: "reload_failed", sentence });
      throw error;
    }
  }

  #reload(): ReloadReport {
    const base = this.#parts.read();
    const settled = settle(base, this.#values);
    const next = this.#mixed(settled.config);
    this.#users.check(next);
    this.#forget(settled);
    const before = this.#config;
    this.#take(next, base, settled.values);
    const { certificate } = this.#users.reload(next, before);
    const report: ReloadReport = {
      ...liveDifferences(before, next),
      later: laterDifferences(this.#start, base),
      hidden: settled.values.map(({ path }) => keyName(path)),
      ended: endings(settled),
      certificate,
    };
    const words = reloadWords(report);
    this.#parts.log.info(report, `the configuration was read again. ${words}`);
    tellOperators({ kind: "config", event: "reloaded", sentence: `The configuration was read again. ${words}` });
    return report;
  }

  #take(next: Config, base: Config, values: readonly RuntimeValue[]): void {
    this.#base = base;
    this.#values = values;
    this.#set = pathsOf(values);
    this.#config = next;
  }

  /** All that counts at once is as it says, the rest as at the start. */
  #mixed(config: Config): Config {
    const mixed = LIVE_KEYS.reduce<unknown>(
      (all, path) => withValue(all, path, valueAt(config, path)),
      this.#start,
    ) as Config;
    return deepFreeze(mixed);
  }

  /** @throws {AltLasError} as of `patch` */
  #patched(patch: object, by: string): readonly RuntimeValue[] {
    refuseLong(patch);
    const at = wallTimeText();
    const locked: Path[] = [];
    const set: RuntimeValue[] = [];
    const replaced = new Set<string>();
    for (const { path, value } of leavesOf(patch)) {
      const isReset = value === null && isKey(path);
      if (!isReset && this.#says(path, value)) continue;
      if (!isReset && isKey(path) && countsFrom(path) !== "now") {
        locked.push(path);
        continue;
      }
      replaced.add(pathText(path));
      if (!isReset) set.push(this.#valueOf(path, value, { by, at }));
      if (set.length > MOST_VALUES) throw new AltLasError("invalid_input", TOO_MANY);
    }
    const values = [...this.#values.filter(({ path }) => !isReplaced(path, replaced)), ...set];
    if (values.length > MOST_VALUES) throw new AltLasError("invalid_input", TOO_MANY);
    const { config, findings } = compose(this.#base, values);
    refuse(findings, locked);
    // With their defaults, and without those that the file says anyway.
    const whole = values.map((one) => ({ ...one, value: saidBy(config, one.path) }));
    const own = whole.filter(({ path, value }) => !isDeepStrictEqual(value, saidBy(this.#base, path)));
    refuseLong(own);
    return own;
  }

  #valueOf(path: Path, value: unknown, { by, at }: Pick<RuntimeValue, "by" | "at">): RuntimeValue {
    return { path: path.map(String), value: withoutNulls(value), instead_of: saidBy(this.#base, path), by, at };
  }

  /** Whether it holds already. */
  #says(path: Path, value: unknown): boolean {
    const now = valueAt(this.#config, path);
    return isDeepStrictEqual(now, value) || isDeepStrictEqual(redacted(now, path), value);
  }

  /** @throws {AltLasError} `store_unavailable` */
  #keep(values: readonly RuntimeValue[]): void {
    try {
      this.#file.write(values);
    } catch (error) {
      const sentence = `The change cannot be kept, and nothing has changed: ${messageOf(error)}`;
      throw new AltLasError("store_unavailable", sentence, { cause: error });
    }
  }

  /** A value that the file says anew counts for good, also when it is the old one again. */
  #forget({ values, outdated }: Settled): void {
    if (outdated.length === 0) return;
    try {
      this.#file.write(values);
    } catch (error) {
      this.#parts.log.warn(messageOf(error));
    }
  }
}

/** @param texts of paths: what is at one of these, or inside, is replaced */
function isReplaced(path: Path, texts: ReadonlySet<string>): boolean {
  return path.some((_key, index) => texts.has(pathText(path.slice(0, index + 1))));
}

/** @throws {AltLasError} `invalid_input` */
function refuseLong(value: unknown): void {
  if (Buffer.byteLength(JSON.stringify(value)) > MOST_BYTES) throw new AltLasError("invalid_input", TOO_LONG);
}

function pathsOf(values: readonly RuntimeValue[]): ReadonlySet<string> {
  return new Set(values.map(({ path }) => pathText(path)));
}

/** @throws {AltLasError} `invalid_input` with all that is wrong; `conflict` when there are only keys that count from the next start */
function refuse(findings: readonly Finding[], locked: readonly Path[]): void {
  const later = locked.map((path) => ({ path, sentence: `${keyName(path)} ${laterWords(path)}` }));
  const all = [...findings, ...later];
  const [first] = all;
  if (first === undefined) return;
  const sentence = listed(all.map((one) => one.sentence)).replaceAll("\n", " ");
  throw new AltLasError(findings.length > 0 ? "invalid_input" : "conflict", sentence, { param: keyName(first.path) });
}

function laterWords(path: Path): string {
  return countsFrom(path) === "reload"
    ? "cannot be changed by a request: change it in the configuration file and have it read again (alt-las reload)."
    : "needs a restart: change it in the configuration file and start the server again.";
}

/** Like `gpu.multi_gpu.default_strategy: "least_loaded" → "random"`. */
function changeWords(before: Config, now: Config): string {
  const words = differingKeys(before, now)
    .map((path) => `${keyName(path)}: ${shown(valueAt(before, path) ?? null)} → ${shown(valueAt(now, path) ?? null)}`)
    .join("; ");
  if (words === "") return "as the file says";
  return words.length > MOST_WORDS ? `${words.slice(0, MOST_WORDS)} …` : words;
}
