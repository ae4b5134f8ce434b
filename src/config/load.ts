/** Reads a configuration: file, environment, command line; checks it and fills in the defaults. */
import { existsSync } from "node:fs";
import type { ValidateFunction } from "ajv";
import { makeAjv } from "../common/ajv.ts";
import { fits } from "../common/fits.ts";
import { misfitsOf } from "../common/validation.ts";
import { checkTogether } from "./checks.ts";
import { engineTraits } from "../engine/kinds.ts";
import { AltLasError, messageOf } from "../errors.ts";
import { type ModelSource, parseSource, shortNameOf, sourceText } from "../models/source.ts";
import { fillTemplates } from "./environment.ts";
import { readConfigFile, readYaml } from "./file.ts";
import { type Finding, type Path, type Place as TextPlace, refuseAll, touches } from "./findings.ts";
import type { ModelSettings } from "./models-section.ts";
import { configFile } from "./place.ts";
import { type Config, ConfigSchema } from "./schema.ts";
import { withoutSecretTexts } from "./secret-files.ts";
import { pathText, rememberSources, type Source, sourcesInFile } from "./sources.ts";

/** Values of the command line or the environment, which go before the file's. */
export interface ConfigOverrides {
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly devices?: string | undefined;
  /** A path, or of an engine whose models have names such a name; any other source of a model is fetched. */
  readonly model?: string | undefined;
  readonly logLevel?: string | undefined;
}

/** Rules that a schema cannot say. */
export type Check = (config: Config) => readonly Finding[];

let compiled: ValidateFunction<Config> | undefined;

/** Says what is wrong with a configuration; made when one does not fit. */
function compiledCheck(): ValidateFunction<Config> {
  compiled ??= makeAjv({ allErrors: true }).compile<Config>(ConfigSchema);
  return compiled;
}

/**
 * Reads the configuration: `file`, else ./config.yaml if it exists, else the defaults; then the overrides.
 * @param checks beside those of every start
 * @throws {AltLasError} `bad_config`, with a line for all that is wrong, naming file, line, key, what was given and what is allowed
 */
export function loadConfig(
  file: string | undefined,
  overrides: ConfigOverrides = {},
  checks: readonly Check[] = [],
): Config {
  const path = configFile(file);
  return path === undefined
    ? finish({ value: {}, findings: [], sources: new Map() }, () => ({ name: "", order: 0 }), overrides, checks)
    : parseConfig(readConfigFile(path), path, overrides, checks);
}

/** As `loadConfig`, for text that was read already; `path` is only named in sentences. */
export function parseConfig(
  text: string,
  path: string,
  overrides: ConfigOverrides = {},
  checks: readonly Check[] = [],
): Config {
  try {
    const { value, lineOf } = readYaml(text, path);
    const placeInFile = (at: Path): TextPlace => ({ name: `${path}:${lineOf(at)}: `, order: lineOf(at) });
    const filled = fillTemplates(value, ConfigSchema, process.env);
    return finish({ ...filled, sources: sourcesInFile(value, filled.value) }, placeInFile, overrides, checks);
  } catch (error) {
    throw withoutSecrets(error);
  }
}

/** Whatever is wrong with a value, the sentence about it may repeat it. */
function withoutSecrets(error: unknown): unknown {
  if (!(error instanceof AltLasError)) return error;
  const sentence = withoutSecretTexts(error.message);
  return sentence === error.message ? error : new AltLasError(error.code, sentence);
}

const COMMAND_LINE: TextPlace = { name: "Command line: ", order: Infinity };

interface FileValues {
  readonly value: unknown;
  readonly findings: readonly Finding[];
  readonly sources: ReadonlyMap<string, Source>;
}

/**
 * 1. The file and the command line are each held against the schema.
 * 2. Values that do not fit are left out, so that the rules between keys can be checked too; those about a key that was left out say nothing.
 * 3. All that is wrong is told at once.
 */
function finish(
  file: FileValues,
  placeInFile: (path: Path) => TextPlace,
  overrides: ConfigOverrides,
  checks: readonly Check[],
): Config {
  const own = fitted(withoutNulls(file.value));
  const model = modelGiven(overrides.model, own.config);
  const given = fitted(overridesAsConfig({ ...overrides, model: model.path }));
  const inFile = [...file.findings, ...own.findings];
  const isWrong = ([, at]: (typeof SET_BY)[number]): boolean => given.findings.some(({ path }) => touches(path, at));
  const unusable = Object.fromEntries(SET_BY.filter(isWrong).map(([name]) => [name, undefined]));
  const config = withOverrides(own.config, { ...overrides, model: model.path, ...unusable }, model.fetched);
  const sound = brokenRules(config, [...inFile, ...given.findings], checks);
  const isGiven = (path: Path): boolean =>
    SET_BY.some(([name, at]) => overrides[name] !== undefined && touches(at, path));
  refuseAll([
    ...inFile.map(({ path, sentence }) => ({ sentence, place: placeInFile(path) })),
    ...[...given.findings, ...model.findings].map(({ sentence }) => ({ sentence, place: COMMAND_LINE })),
    ...sound.map(({ path, sentence }) => ({ sentence, place: isGiven(path) ? COMMAND_LINE : placeInFile(path) })),
  ]);
  deepFreeze(config);
  rememberSources(config, new Map([...file.sources, ...sourcesOfOptions(overrides, model)]));
  return config;
}

function sourcesOfOptions(overrides: ConfigOverrides, { fetched }: GivenModel): [string, Source][] {
  const given = SET_BY.filter(([name]) => overrides[name] !== undefined);
  const paths = given.map(([name, path]) => (name === "model" && fetched !== null ? ["models"] : path));
  return paths.map((path) => [pathText(path), "option"]);
}

/**
 * A configuration of all that is right of `value`, with the defaults, and everything that is wrong with it.
 * @param value is changed
 */
export function checked(value: unknown): { readonly config: Config; readonly findings: readonly Finding[] } {
  const { config, findings } = fitted(value);
  return { config: deepFreeze(config), findings: [...findings, ...brokenRules(config, findings, [])] };
}

/** Findings of the rules between keys, but for those about values that are wrong themselves. */
function brokenRules(config: Config, wrong: readonly Finding[], checks: readonly Check[]): readonly Finding[] {
  const rules = [checkTogether, ...checks].flatMap((check) => check(config));
  return rules.filter(
    ({ path, from = [] }) => ![path, ...from].some((at) => wrong.some((one) => touches(one.path, at))),
  );
}

/** A configuration with all defaults and what is right of `value`, and what is not. */
function fitted(value: unknown): { readonly config: Config; readonly findings: readonly Finding[] } {
  let findings: readonly Finding[] | undefined;
  for (let rest = value; ;) {
    if (fits(ConfigSchema, rest)) return { config: rest as Config, findings: findings ?? [] };
    const validate = compiledCheck();
    if (validate(rest)) return { config: rest, findings: findings ?? [] };
    const misfits = misfitsOf(validate, "the configuration");
    // Later rounds find what is missing because something was left out.
    findings ??= misfits;
    rest = misfits.reduce((kept: unknown, { path }) => without(kept, path), rest);
  }
}

/** Takes out what a path leads to; of a list that would move the others, so it goes as a whole. */
function without(value: unknown, path: Path): unknown {
  const parents: unknown[] = [value];
  for (const key of path) parents.push((parents.at(-1) as Record<string, unknown> | undefined)?.[key]);
  for (let length = path.length; length > 0; length--) {
    const parent = parents[length - 1];
    if (parent === null || typeof parent !== "object" || Array.isArray(parent)) continue;
    delete (parent as Record<string, unknown>)[path[length - 1]!];
    return value;
  }
  return {};
}

/** Which value each override sets. */
const SET_BY: readonly (readonly [keyof ConfigOverrides, Path])[] = [
  ["host", ["server", "host"]],
  ["port", ["server", "port"]],
  ["devices", ["gpu", "devices"]],
  ["model", ["engine", "model"]],
  ["logLevel", ["log", "level"]],
];

/** The model of the command line: a path or the name on a server, as `engine.model`; or what is fetched, as the only one of `models`. */
interface GivenModel {
  readonly path: string | undefined;
  readonly fetched: ModelSettings | null;
  readonly findings: readonly Finding[];
}

function modelGiven(text: string | undefined, { engine, models }: Config): GivenModel {
  const asPath = { path: text, fetched: null, findings: [] };
  if (text === undefined || engineTraits(engine.kind).model !== "file") return asPath;
  try {
    const source = parseSource(text);
    // Beside `models` it is refused, as a path is.
    if (source.kind === "path" || models.length > 0) return asPath;
    return { path: undefined, fetched: startedWith(source), findings: [] };
  } catch (error) {
    // A file may have any name.
    if (existsSync(text)) return asPath;
    return { ...asPath, path: undefined, findings: [{ path: ["engine", "model"], sentence: messageOf(error) }] };
  }
}

function startedWith(source: ModelSource): ModelSettings {
  return { name: shortNameOf(source), source: sourceText(source), aliases: [], load: "start", task_types: [] };
}

function overridesAsConfig({ host, port, devices, model, logLevel }: ConfigOverrides) {
  const list = devices?.split(",");
  return {
    server: { ...(host !== undefined && { host: plainHost(host) }), ...(port !== undefined && { port }) },
    gpu: { ...(list && { devices: list.length === 1 ? list[0]! : list }) },
    engine: { ...(model !== undefined && { model }) },
    log: { ...(logLevel !== undefined && { level: logLevel as Config["log"]["level"] }) },
  };
}

/** @param fetched the model that stands in the place of all that the file names; null: there is none */
function withOverrides(config: Config, overrides: ConfigOverrides, fetched: ModelSettings | null): Config {
  const { server, gpu, engine, log } = overridesAsConfig(overrides);
  const { model: inFile, ...ownEngine } = config.engine;
  return {
    ...config,
    ...(fetched !== null && { models: [fetched] }),
    server: { ...config.server, host: plainHosts(config.server.host), ...server },
    gpu: { ...config.gpu, ...gpu },
    engine: { ...ownEngine, ...(inFile !== undefined && fetched === null && { model: inFile }), ...engine },
    log: { ...config.log, ...log },
  };
}

function plainHosts(host: string | readonly string[]): string | readonly string[] {
  return typeof host === "string" ? plainHost(host) : host.map(plainHost);
}

/** An IPv6 address may stand in brackets, as in a URL. */
function plainHost(host: string): string {
  return /^\[([0-9A-Fa-f:.]+(?:%.+)?)\]$/.exec(host)?.[1] ?? host;
}

/** `null` counts as absent, so that an example can show a key that has no default. */
export function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (value === null || typeof value !== "object") return value;
  const kept = Object.entries(value).filter(([, inner]) => inner !== null);
  return Object.fromEntries(kept.map(([key, inner]) => [key, withoutNulls(inner)]));
}

/** Frozen with all that is inside. */
export function deepFreeze<T>(value: T): T {
  if (value !== null && typeof value === "object") {
    Object.values(value).forEach(deepFreeze);
    Object.freeze(value);
  }
  return value;
}
