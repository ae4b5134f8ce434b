/** `help COMMAND`. Commander's own takes a command that does not exist for none, and prints the help of all. */
import type { Command } from "commander";
import { said } from "../words/terminal.ts";

/** Help in the language of the terminal. Commands inherit it. */
export const HELP_WORDS = {
  styleTitle: said,
  styleCommandDescription: said,
  styleSubcommandDescription: said,
  styleOptionDescription: said,
  styleArgumentDescription: said,
};

/** Adds it to a command and to all groups of commands in it, which must have been added before. */
export function addHelp(group: Command): void {
  for (const command of group.commands) if (command.commands.length > 0) addHelp(command);
  group
    .helpCommand(false)
    .command("help [command...]")
    .helpOption(false)
    .description("display help for command")
    .action((names: readonly string[]) => named(group, names).help());
}

function named(group: Command, names: readonly string[]): Command {
  return names.reduce((within, name) => {
    const found = within.commands.find((command) => command.name() === name);
    return found ?? group.error(`error: unknown command '${names.join(" ")}'`);
  }, group);
}
