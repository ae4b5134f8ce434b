/** The configuration, as far as somebody has set it, and what is wrong with it. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { anonymousUserExists } from "../auth/anonymous.ts";
import { ALT_LAS, dataDirWords, shellWord } from "../common/paste.ts";
import { checkFiles, type Config, configPlace, loadConfig, openValues } from "../config/config.ts";
import type { Path } from "../config/findings.ts";
import { keyName, leavesOf, redacted } from "../config/keys.ts";
import { readConfigFile, readYaml } from "../config/file.ts";
import { secretTexts } from "../config/secret-files.ts";
import { sourceOf } from "../config/sources.ts";
import { AltLasError, messageOf } from "../errors.ts";
import { readTls } from "../http/tls.ts";
import { listeningProblems } from "./listening.ts";
import type { Problem, Section } from "./section.ts";
import { secretsIn } from "./secrets.ts";

export interface Settings extends Section {
  /** null: it cannot be used. */
  readonly config: Config | null;
  /** Texts of the file that must not be shown. */
  readonly secrets: readonly string[];
}

/** @param named `--config` */
export function settings(named: string | undefined, dataDir: string): Settings {
  const place = configPlace(named);
  const file = place === undefined ? null : resolve(place.path);
  const problems: Problem[] = [];
  const config = attempt(() => loadConfig(named), named, dataDir, problems);
  // Before these the server would start; they tell of devices that it could not serve with.
  if (config !== null)
    attempt(
      () => {
        loadConfig(named, {}, [checkFiles, anonymousUserExists(dataDir)]);
        readTls(config.server.tls);
      },
      named,
      dataDir,
      problems,
    );
  if (config !== null) problems.push(...listeningProblems(config));
  const secrets = [...(place === undefined ? [] : secretsInFile(place.path)), ...secretsIn(config), ...secretTexts()];
  return {
    facts: { file, set: config === null ? null : valuesOf(config, dataDir, problems) },
    problems,
    config,
    secrets,
  };
}

function attempt<T>(work: () => T, named: string | undefined, dataDir: string, problems: Problem[]): T | null {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof AltLasError)) throw error;
    const option = named === undefined ? "" : ` --config ${shellWord(named)}`;
    problems.push({ problem: error.message, mend: `${ALT_LAS} validate-config${option}${dataDirWords(dataDir)}` });
    return null;
  }
}

/** Also of a file that is no configuration; what is no YAML has no values. */
function secretsInFile(path: string): string[] {
  if (!existsSync(path)) return [];
  try {
    return secretsIn(readYaml(readConfigFile(path), path).value);
  } catch {
    return [];
  }
}

/** The values that somebody has set; all others have their defaults. */
function valuesOf(config: Config, dataDir: string, problems: Problem[]): string[] {
  const set = [...leavesOf(config)].flatMap(({ path, value }) => {
    const source = sourceOf(config, path);
    return source === "default" ? [] : [`${keyName(path)}: ${shownValue(path, value)} (${source})`];
  });
  return [...set, ...runtimeValues(config, dataDir, problems)];
}

function runtimeValues(config: Config, dataDir: string, problems: Problem[]): string[] {
  try {
    const { values } = openValues(config, dataDir);
    return values.map(({ path, value }) => `${keyName(path)}: ${shownValue(path, value)} (set while the server ran)`);
  } catch (error) {
    problems.push({ problem: messageOf(error), mend: null });
    return [];
  }
}

/** People and their keys are counted: who they are is nobody's business who reads a report. */
function shownValue(path: Path, value: unknown): string {
  if (path[0] === "auth" && Array.isArray(value)) return `${value.length}`;
  const shown = redacted(value, path);
  return shown === null || shown === undefined ? "[secret]" : JSON.stringify(shown);
}
