/** `alt-las lab`: replays traffic through the scheduler in virtual time. Its modules are loaded when one of its commands is called. */
import type { Readable } from "node:stream";
import { type Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { CONFIG_WORDS } from "../config/place.ts";
import type { MakeFlags, RunOptions } from "../lab/commands.ts";
import { configured } from "./configured.ts";
import { dataDirOf, existingData } from "./data-dir.ts";
import { keyed, type RemoteFlags, remoteOf, withSignals } from "./remote/commands.ts";
import type { MaybeTerminal } from "./remote/terminal.ts";

/** The exit status after Ctrl+C. */
const INTERRUPTED = 130;

interface LabIo {
  readonly log: (text: string) => void;
  readonly error: (text: string) => void;
  readonly stdin: () => Readable;
  readonly stdout: MaybeTerminal;
}

const commands = () => import("../lab/commands.ts");

export function addLab(cli: Command, io: LabIo): void {
  const lab = cli.command("lab").description("replay traffic through the scheduler, faster than life");
  lab
    .command("run <trace>")
    .description(
      "replay a trace and compare strategies: a file of lab make, or of Azure, BurstGPT or Mooncake; - is standard input",
    )
    .option("--config <file>", CONFIG_WORDS)
    .option("--speed <file>", "the measured speeds of GPUs (default: the built-in model)")
    .option("--strategy <list>", "all, baselines, rules, or names with commas between", "all")
    .option("--gpus <list>", "4 for so many equal ones, 1:2:4 for GPUs of such speeds (default: as configured, else 4)")
    .addOption(new Option("--slots <number>", "slots of each GPU (default: as configured)").argParser(integer(1, 256)))
    .addOption(new Option("--seed <number>", "of what is drawn").argParser(integer(0, 2 ** 32 - 1)).default(1))
    .addOption(
      new Option("--first-token <seconds>", "a request counts as goodput if its first token comes within this")
        .argParser(above0)
        .default(2),
    )
    .option("--json", "print the results as JSON")
    .option("--html <file>", "write a page with charts, too")
    .action(async (trace: string, flags: Omit<RunOptions, "trace">) =>
      io.log(await (await commands()).labRun({ ...flags, trace }, io.stdin)),
    );
  lab
    .command("make")
    .description("write a trace to standard output: steady, bursty, diurnal, log-normal, zipf or heavy-caller")
    .option("--kind <kind>", "which of these", "steady")
    .addOption(new Option("--seed <number>", "the same trace again").argParser(integer(0, 2 ** 32 - 1)).default(1))
    .addOption(new Option("--tasks <number>", "requests").argParser(integer(1, 1e9)).default(1000))
    .addOption(new Option("--rate <number>", "requests a second on average (default: 5.5)").argParser(above0))
    .action(async (flags: MakeFlags) => (await commands()).labMake(flags, io.stdout));
  addExport(lab, io);
  addCalibrate(lab, io);
}

function addExport(lab: Command, io: LabIo): void {
  configured(lab.command("export"))
    .description(
      "write your own history as a trace to standard output: lengths and times; no texts, no names, no dates",
    )
    .action(async ({ config }: { config?: string }, command: Command) => {
      const dataDir = existingData(dataDirOf(command));
      io.error(await (await commands()).labExport({ config, dataDir }, io.stdout));
    });
}

function addCalibrate(lab: Command, io: LabIo): void {
  keyed(lab.command("calibrate"))
    .description("measure the GPUs of a running server, and write their speeds to standard output for lab run --speed")
    .option("--model <name>", "which model, where GPUs may have several")
    .action(async ({ model = null, ...flags }: RemoteFlags & { model?: string | null }) => {
      const { calibrate } = await import("../lab/calibrate/calibrate.ts");
      const remote = await remoteOf(flags);
      await withSignals(io, async (signal) => {
        try {
          io.log(await calibrate({ remote, model, tell: io.error, signal }));
        } catch (error) {
          // Its tasks end with it.
          throw signal.aborted ? new CommanderError(INTERRUPTED, "alt-las.interrupted", "") : error;
        }
      });
    });
}

function integer(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be an integer from ${least} to ${most}.`);
  };
}

function above0(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value > 0 && value < Infinity) return value;
  throw new InvalidArgumentError("It must be a number above 0.");
}
