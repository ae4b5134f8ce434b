/** Commands that read the configuration. */
import type { Command } from "commander";
import { CONFIG_WORDS } from "../config/place.ts";
import { dataDirOption } from "./data-dir.ts";

/** Options of every command that reads the configuration and the data directory. */
export function configured(command: Command): Command {
  return command.option("--config <file>", CONFIG_WORDS).addOption(dataDirOption());
}
