/** Reads a configuration: file, environment, command line; checks it and fills in the defaults. */
import { existsSync, readFileSync } from "node:fs";
import { AltLasError, messageOf } from "../errors.ts";
import { makeAjv, misfitOf } from "../validation.ts";
import { checkTogether } from "./checks.ts";
import { readYaml } from "./file.ts";
import { type Config, ConfigSchema } from "./schema.ts";

/** What the command line or the environment sets over the file. */
export interface ConfigOverrides {
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly devices?: string | undefined;
  readonly model?: string | undefined;
  readonly logLevel?: string | undefined;
}

const validate = makeAjv().compile(ConfigSchema);

/**
 * Reads the configuration: `file`, else ./config.yaml if it exists, else the defaults; then the overrides.
 * @throws {AltLasError} `bad_config`, naming file, line, key, what was given and what is allowed
 */
export function loadConfig(file: string | undefined, overrides: ConfigOverrides = {}): Config {
  const path = file ?? (existsSync("config.yaml") ? "config.yaml" : undefined);
  if (path === undefined) return finish({}, overrides);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new AltLasError("bad_config", `The configuration file ${path} cannot be read: ${messageOf(error)}.`);
  }
  return parseConfig(text, path, overrides);
}

/** As `loadConfig`, for text that was read already; `path` is only named in sentences. */
export function parseConfig(text: string, path: string, overrides: ConfigOverrides = {}): Config {
  const { value, where } = readYaml(text, path);
  return finish(value, overrides, where);
}

function finish(
  value: unknown,
  overrides: ConfigOverrides,
  where: (path: readonly (string | number)[]) => string = () => "",
): Config {
  const config = withoutNulls(value);
  check(config, where);
  const merged = { ...config, ...mergeOverrides(config, overrides) };
  check(merged, () => "Command line: ");
  checkTogether(merged, where);
  return deepFreeze(merged);
}

function check(value: unknown, where: (path: readonly (string | number)[]) => string): asserts value is Config {
  if (validate(value)) return;
  const misfit = misfitOf(validate, "the configuration");
  throw new AltLasError("bad_config", where(misfit.path) + misfit.sentence);
}

function mergeOverrides(config: Config, { host, port, devices, model, logLevel }: ConfigOverrides): Partial<Config> {
  const devicesList = devices?.split(",");
  return {
    server: { ...config.server, ...(host !== undefined && { host }), ...(port !== undefined && { port }) },
    gpu: { ...config.gpu, ...(devicesList && { devices: devicesList.length === 1 ? devicesList[0]! : devicesList }) },
    engine: { ...config.engine, ...(model !== undefined && { model }) },
    log: { ...config.log, ...(logLevel !== undefined && { level: logLevel as Config["log"]["level"] }) },
  };
}

/** `null` counts as absent, so that an example can show a key that has no default. */
export function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (value === null || typeof value !== "object") return value;
  const kept = Object.entries(value).filter(([, inner]) => inner !== null);
  return Object.fromEntries(kept.map(([key, inner]) => [key, withoutNulls(inner)]));
}

function deepFreeze<T>(value: T): T {
  if (value !== null && typeof value === "object") {
    Object.values(value).forEach(deepFreeze);
    Object.freeze(value);
  }
  return value;
}
