/** What commands work on. Loaded by those that need it. */
import type { Command } from "commander";
import type { AccountsContext } from "../auth/accounts.ts";
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

/** @throws {AltLasError} `bad_config` where there is nothing to list or change */
export function contextOf(options: Options, command: Command): AccountsContext {
  return { config: configOf(options).auth, dataDir: existingData(dataDirOf(command)) };
}

/** @throws {AltLasError} `bad_config` where there is nothing to add to, and nobody has named the folder to begin in */
export function contextForAdding(options: Options, command: Command) {
  const { path, begun } = existingOrNewData(dataDirOf(command));
  return { place: { config: configOf(options).auth, dataDir: path }, begun };
}
