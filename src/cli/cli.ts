/** The command line. Every command is a few lines; the work is done elsewhere. */
import { Console } from "node:console";
import type { Readable } from "node:stream";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { addAccounts } from "./accounts.ts";
import { addCluster } from "./cluster.ts";
import { leaveRowOf } from "./audited.ts";
import { configured } from "./configured.ts";
import { dataDirOf, dataDirOption, existingData } from "./data-dir.ts";
import { addHelp, HELP_WORDS } from "./help.ts";
import { addLab } from "./lab.ts";
import { keptByNpm } from "./npm-options.ts";
import { configFile } from "../config/place.ts";
import type { Options } from "./context.ts";
import type { Origin } from "./greeting.ts";
import { AltLasError } from "../errors.ts";
import { addStore } from "./store.ts";
import { addRemote, located, type RemoteFlags } from "./remote/commands.ts";
import type { Logger } from "../log/log.ts";
import type { MaybeTerminal } from "./remote/terminal.ts";
import { ALT_LAS } from "../common/paste.ts";
import { VERSION } from "../common/version.ts";
import { said } from "../words/terminal.ts";

/** The streams that a command reads and writes. */
export interface Streams {
  readonly stdin: Readable;
  readonly stdout: MaybeTerminal;
  readonly stderr: MaybeTerminal;
}

/** Where commands print. A stream that nobody reads any more ends no command. */
interface Io extends Pick<Console, "log" | "error"> {
  /** Opened only by commands that read. */
  readonly stdin: () => Readable;
  /** For what is written over and over. */
  readonly stdout: MaybeTerminal;
  readonly stderr: MaybeTerminal;
}

/**
 * Runs one command. `serve` resolves when its server has started; the server goes on and ends the process itself.
 * @param argv as `process.argv`
 * @returns the exit code
 */
export async function main(argv: readonly string[], streams: Streams = process): Promise<number> {
  const { stdout, stderr } = streams;
  const printer = new Console({ stdout, stderr });
  const io: Io = {
    log: (text: string) => printer.log(said(text)),
    error: (text: string) => printer.error(said(text)),
    stdin: () => streams.stdin,
    stdout,
    stderr,
  };
  // Subcommands inherit both.
  const cli = new Command("alt-las")
    .configureOutput({ writeOut: (text) => stdout.write(text), writeErr: (text) => stderr.write(said(text)) })
    .configureHelp(HELP_WORDS)
    .exitOverride();
  let ran: Command | undefined;
  cli.hook("preAction", (_cli, command) => void (ran = command));
  const note = async (outcome: string): Promise<void> => {
    const trouble = ran === undefined ? null : await leaveRowOf(ran, outcome);
    if (trouble !== null) io.error(trouble);
  };
  try {
    refuseNoFolder();
    await program(cli, io).parseAsync(argv);
    await note("ok");
    return 0;
  } catch (error) {
    await note(error instanceof AltLasError ? error.code : "interrupted");
    // Commander has said why.
    if (error instanceof CommanderError) return error.exitCode;
    if (!(error instanceof AltLasError)) throw error;
    io.error(error.message);
    return 1;
  }
}

/** A server in a folder that was removed would wait for threads that cannot start. @throws {AltLasError} `bad_config` */
function refuseNoFolder(): void {
  try {
    process.cwd();
  } catch (cause) {
    throw new AltLasError("bad_config", "The current folder is there no longer: change to another one (cd).", {
      cause,
    });
  }
}

function program(cli: Command, io: Io): Command {
  cli.description("Text generation over several GPUs through one durable task API.");
  cli.version(VERSION, "--version", "print the version");
  cli.showHelpAfterError(`(${ALT_LAS} help lists the commands and options)`);
  addServe(cli);
  configured(
    cli.command("validate-config").description("check the configuration and the files it names, without starting"),
  ).action(async ({ config }: Options, command: Command) => {
    const { validateConfig } = await import("./validate-config.ts");
    io.log(validateConfig(config, dataDirOf(command).path));
  });
  addRemote(cli, io);
  addAccounts(cli, io);
  addModels(cli, io);
  addBackups(cli, io);
  addStore(cli, io);
  addForRunning(cli, io);
  addForget(cli, io);
  addForGpus(cli, io);
  addAgent(cli);
  addCluster(cli, io);
  addDiagnosis(cli, io);
  addLab(cli, io);
  cli
    .command("version")
    .description("print the version")
    .action(() => io.log(VERSION));
  addHelp(cli);
  return cli;
}

function addServe(cli: Command): void {
  configured(cli.command("serve", { isDefault: true }).description("start the server (the default command)"))
    .option("--host <address>", "address to listen on")
    .addOption(new Option("--port <number>", "port to listen on; 0: any free one").argParser(portNumber))
    .option("--devices <list>", "auto, cpu:N, simulated:N, gpu:INDEX, a GPU's UUID, or several with commas between")
    .option(
      "--model <source>",
      "the model to serve: a GGUF file, hf:OWNER/REPO[:QUANTIZATION], an https address, a short name",
    )
    .option("--log-level <level>", "trace, debug, info, warn, error, fatal or silent")
    // serve is what runs without a command, so a mistyped command arrives here as its argument.
    .allowExcessArguments()
    .action(async (options: Options, command: Command) => {
      const { args } = command;
      const names = command.options.map(({ long }) => long!);
      const kept = keptByNpm(names, args, process.env);
      if (kept !== null) cli.error(`error: ${kept}`);
      if (args.length > 0) cli.error(`error: unknown command '${args[0]}'`);
      const { path: dataDir, notes: dataNotes } = dataDirOf(command);
      const { anonymousUserExists, configOf } = await context();
      const origin = {
        config: configOf(options, [anonymousUserExists(dataDir)]),
        configFile: configFile(options.config),
        dataDir,
        dataNotes,
        given: givenOptions(command),
      };
      const log = await serverLog(origin);
      // The server's modules take longer to load than all that the other commands do.
      const { serve } = await import("./serve.ts");
      // A file that was there at the start and has gone must not count as none.
      return serve(origin, log, () => configOf({ ...options, ...fileOf(origin.configFile) }));
    });
}

async function serverLog({
  config,
  configFile: file,
  given,
}: Required<Pick<Origin, "config" | "given">> & Pick<Origin, "configFile">): Promise<Logger> {
  const { createServerLogger } = await import("../log/log.ts");
  const log = createServerLogger(config.log.level, given.has("--log-level"));
  // On a terminal bin/alt-las.js has said so.
  if (!process.stderr.isTTY) log.info(file === undefined ? {} : { config: file }, `ALT_LAS ${VERSION} is starting`);
  return log;
}

/** A configuration takes libraries for YAML and for schemas, which `version` and the help can do without. */
const context = () => import("./context.ts");

/** Commands that only a running server can carry out. */
function addForRunning(cli: Command, io: Io): void {
  cli
    .command("reload")
    .description(
      "have the running server read its own configuration file again, and its certificate; it says what counts at once",
    )
    .addOption(dataDirOption())
    .action(async (_options: object, command: Command) => {
      const { reloadNow } = await import("./reload.ts");
      io.log(await reloadNow(existingData(dataDirOf(command))));
    });
  cli
    .command("sweep")
    .description(
      "have the running server remove what is old enough, also in the hour after a start with a doubtful clock",
    )
    .requiredOption("--now", "do it now")
    .addOption(dataDirOption())
    .action(async (_options: object, command: Command) => {
      const { sweepNow } = await import("./sweep.ts");
      io.log(await sweepNow(existingData(dataDirOf(command))));
    });
}

function addForget(cli: Command, io: Io): void {
  configured(cli.command("forget"))
    .description("remove what is stored of a user: tasks, batches, files, keys of requests, its name in usage")
    .requiredOption("--user <name>", "whose")
    .action(async ({ user, config }: Pick<Options, "config"> & { user: string }, command: Command) => {
      const { loadConfig } = await import("../config/config.ts");
      const { forgetCommand } = await import("../forget/command.ts");
      const place = { dataDir: existingData(dataDirOf(command)), config: loadConfig(config) };
      io.log(await forgetCommand(place, user, io.log));
    });
}

function addAgent(cli: Command): void {
  configured(cli.command("agent"))
    .description("give the GPUs of this machine to a cluster, until a signal stops it")
    .option("--join <url>", "the NATS server of the cluster (default: cluster.nats)")
    .option("--name <name>", "what the cluster calls this machine (default: its host's name)")
    .option("--devices <list>", "as for serve")
    .option("--model <source>", "as for serve")
    .option("--log-level <level>", "as for serve")
    .action(async (options: Options & { name?: string; join?: string }, command: Command) => {
      const { configOf } = await context();
      const config = configOf(options);
      const { createServerLogger } = await import("../log/log.ts");
      const log = createServerLogger(config.log.level, options.logLevel !== undefined);
      const { agent } = await import("./agent.ts");
      const { name, join } = options;
      await agent({ config, dataDir: dataDirOf(command).path, name, join }, log);
    });
}

function addForGpus(cli: Command, io: Io): void {
  cli
    .command("add-gpu [kind]")
    .description("bring what llama.cpp needs for the GPUs of this machine: cuda or vulkan")
    .option("--yes", "accept NVIDIA's licence")
    .option("--for <driver>", "prepare for another machine, by its driver and GPUs: 590, or 580:8.0,9.0 (cuda only)")
    .action(async (kind = "", { yes = false, for: other }: { yes?: boolean; for?: string }) => {
      const { addGpu } = await import("../add-gpu/command.ts");
      if (!(await addGpu(kind, { yes, other }, io.log))) throw new CommanderError(1, "alt-las.no-gpu", "");
    });
}

function addDiagnosis(cli: Command, io: Io): void {
  configured(cli.command("where"))
    .description("say which folders and files are used, and why those")
    .option("--json", "print it as JSON")
    .action(async ({ config, json = false }: Options & { json?: boolean }, command: Command) => {
      const { whereReport, whereText } = await import("./where.ts");
      const report = whereReport({ dataDir: dataDirOf(command), config, environment: process.env });
      io.log(
        json ? JSON.stringify(report, null, 2) : whereText(report, io.stdout.isTTY ? io.stdout.columns || 80 : null),
      );
    });
  located(configured(cli.command("doctor")))
    .description("look for what is wrong, and print a page for a report of it; no secret is on it")
    .option("--json", "print it as JSON")
    .action(async ({ config, url, json = false, ...flags }: Options & RemoteFlags, command: Command) => {
      const { doctorCommand } = await import("./doctor.ts");
      const { text, ok } = await doctorCommand({ config, url, flags, dataDir: dataDirOf(command) }, json);
      io.log(text);
      // Printed already.
      if (!ok) throw new CommanderError(1, "alt-las.wrong", "");
    });
}

/** The library for tar files is loaded only where it is used. */
const backups = () => import("../backup/commands.ts");

function addBackups(cli: Command, io: Io): void {
  configured(cli.command("backup <file>"))
    .description("write tasks, users, keys and GPU numbers into one tar file, also while the server runs")
    .option("--overwrite", "replace a file of that name")
    .action(async (file: string, { config, overwrite = false }: Options & { overwrite?: boolean }, command: Command) =>
      io.log(await (await backups()).backupCommand((await context()).storeOf(config, command), file, overwrite)),
    );
  cli
    .command("restore <file>")
    .description("make a data directory of a backup")
    .requiredOption("--data-dir <folder>", "a new folder")
    .action(async (file: string, { dataDir }: { dataDir: string }) =>
      io.log(await (await backups()).restoreCommand(file, dataDir)),
    );
  configured(cli.command("compact"))
    .description("write the task database anew, without what was removed from it; the server must be stopped")
    .option("--accept-missing-log", "take a database that was copied without its log as it is")
    .action(async ({ config, acceptMissingLog = false }: Options & { acceptMissingLog?: boolean }, command: Command) =>
      io.log(
        await (await backups()).compactCommand((await context()).storeOf(config, command), acceptMissingLog, io.log),
      ),
    );
}

interface PullFlags extends Pick<Options, "config"> {
  readonly name?: string;
}

function addModels(cli: Command, io: Io): void {
  configured(cli.command("pull <source>"))
    .description("fetch a model: hf:OWNER/REPO[:QUANTIZATION], an https address, or a short name like smollm2-135m")
    .option("--name <name>", "what requests call it (default: its short name)")
    .action(async (source: string, { config, name }: PullFlags, command: Command) => {
      const { pull } = await import("./pull.ts");
      const { text, code } = await pull({ ...(await context()).placeOf(config, command), source, name }, io.stderr);
      (code === 0 ? io.log : io.error)(text);
      // Printed already.
      if (code !== 0) throw new CommanderError(code, "alt-las.stopped", text);
    });
  configured(cli.command("models"))
    .description("list the models by name: of the configuration, and those that were pulled")
    .option("--json", "print the list as JSON")
    .action(async ({ config, json = false }: Options & { json?: boolean }, command: Command) => {
      const { modelsCommand } = await import("./models.ts");
      const { isTTY, columns } = process.stdout;
      io.log(await modelsCommand((await context()).placeOf(config, command), isTTY ? columns || 80 : null, json));
    });
  configured(cli.command("rm <name>"))
    .description("remove a model that was pulled, with its files")
    .action(async (name: string, { config }: Options, command: Command) => {
      const { removeCommand } = await import("./models.ts");
      io.log(await removeCommand(name, (await context()).placeOf(config, command)));
    });
}

function fileOf(config: string | undefined): Pick<Options, "config"> {
  return config === undefined ? {} : { config };
}

/** The options that stood on the command line, as they would be written again. */
function givenOptions(command: Command): ReadonlyMap<string, string> {
  const given = command.options.filter((option) => command.getOptionValueSource(option.attributeName()) === "cli");
  return new Map(given.map((option) => [option.long!, String(command.getOptionValue(option.attributeName()))]));
}

function portNumber(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65535) return Number(text);
  throw new InvalidArgumentError("It must be an integer from 0 to 65535.");
}
