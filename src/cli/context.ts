/** The configuration and the data that commands work on. Loaded by those that need them. */
import type { Command } from "commander";
import type { AccountsContext } from "../auth/accounts.ts";
import { withAccounts } from "../auth/open-accounts.ts";
import { type Check, type Config, loadConfig } from "../config/config.ts";
import { AltLasError } from "../errors.ts";
import { BY_POSTGRES } from "../store/store.ts";
import { dataDirOf, existingData, existingOrNewData } from "./data-dir.ts";

export { anonymousUserExists } from "../auth/anonymous.ts";
export * as auth from "../auth/commands.ts";

export interface Options {
  readonly config?: string;
  readonly host?: string;
  readonly port?: number;
  readonly devices?: string;
  readonly model?: string;
  readonly logLevel?: string;
}

export function configOf(
  { config, host, port, devices, model, logLevel }: Options,
  checks: readonly Check[] = [],
): Config {
  return loadConfig(config, { host, port, devices, model, logLevel }, checks);
}

export function storeOf(config: string | undefined, command: Command) {
  const dataDir = existingData(dataDirOf(command));
  const { path, url } = loadConfig(config).store;
  if (url !== undefined) throw new AltLasError("conflict", BY_POSTGRES);
  return { dataDir, storePath: path };
}

export function placeOf(config: string | undefined, command: Command) {
  return { config: loadConfig(config), dataDir: dataDirOf(command).path, environment: process.env };
}

/**
 * Lists or changes users and keys that are there.
 * @throws {AltLasError} `bad_config` where there is nothing to list or change; what `work` throws
 */
export function changing<T>(options: Options, command: Command, work: Work<T>): Promise<T> {
  const dataDir = existingData(dataDirOf(command));
  return withAccounts(
    { config: configOf(options), dataDir, configFile: options.config },
    { begins: false, tell: () => undefined },
    work,
  );
}

/**
 * Adds users or keys, also where there are none yet.
 * @returns what `work` returned; it comes last, because programs take a key from the last line
 * @throws {AltLasError} `bad_config` where there is nothing to add to, and nobody has named the folder to begin in; what `work` throws
 */
export async function adding(options: Options, command: Command, work: Work<string>): Promise<string> {
  const config = configOf(options);
  const { path: dataDir, begun } = existingOrNewData(dataDirOf(command));
  const isInFile = config.store.url === undefined;
  const lines = begun === null || !isInFile ? [] : [begun];
  const done = await withAccounts(
    { config, dataDir, configFile: options.config },
    { begins: true, tell: (line) => lines.push(line) },
    work,
  );
  return [...lines, done].join("\n");
}

type Work<T> = (context: AccountsContext) => Promise<T>;
