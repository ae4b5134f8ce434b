/** The commands that ask a running server, with their options. Their code is loaded when one of them is called. */
import { said } from "../../words/terminal.ts";
import { text as textOf } from "node:stream/consumers";
import type { Readable } from "node:stream";
import { Argument, type Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { type CertificateFlags, certificateIn } from "../../common/client-certificate.ts";
import { CONFIG_WORDS } from "../../config/place.ts";
import { PRIORITIES, STRATEGIES, TASK_STATUSES } from "../../task.ts";
import type { FormFlags } from "./answer-form.ts";
import { readKey, type Remote, serverUrl } from "./client.ts";
import { type MaybeTerminal, type Terminal, terminalOf } from "./terminal.ts";

/** The streams of the command line. */
export interface RemoteIo {
  readonly stdin: () => Readable;
  readonly stdout: MaybeTerminal;
  readonly stderr: MaybeTerminal;
}

export interface RemoteFlags extends CertificateFlags {
  readonly config?: string;
  readonly url?: string;
  readonly keyFile?: string;
  readonly json?: boolean;
}

/** Adds all of them to `alt-las`. */
export function addRemote(cli: Command, io: RemoteIo): void {
  addReady(cli, io);
  addGpus(cli, io);
  addTop(cli, io);
  addTasks(cli, io);
  addAudit(cli, io);
  addTask(cli, io);
  addPredict(cli, io);
  addCancel(cli, io);
  addDrain(cli, io);
}

/** Options of every command that asks a running server. */
export function remote(command: Command): Command {
  return keyed(command).option("--json", "print what the server answers");
}

/** Options of every command that needs a key. */
export function keyed(command: Command): Command {
  const words = "file with your API key (default: the environment variable ALT_LAS_API_KEY)";
  return placed(command).option("--key-file <file>", words);
}

function placed(command: Command): Command {
  return located(command.option("--config <file>", CONFIG_WORDS));
}

/** Options of every command that may reach a server over HTTP. */
export function located(command: Command): Command {
  return command
    .option(
      "--url <url>",
      "where the server listens (default: where the one on the data directory does, else where the configuration says)",
    )
    .option(
      "--client-cert <file>",
      "certificate for a server that lets only clients with one in (default: the environment variable ALT_LAS_CLIENT_CERT)",
    )
    .option("--client-key <file>", "its key (default: ALT_LAS_CLIENT_KEY, or the file of the certificate)");
}

async function urlOf({ url, config }: RemoteFlags): Promise<string> {
  if (url !== undefined) return url;
  const { loadConfig } = await import("../../config/config.ts");
  const { server } = loadConfig(config);
  if (config !== undefined) return serverUrl(server);
  const { urlElsewhere } = await import("./running.ts");
  return (await urlElsewhere(server)) ?? serverUrl(server);
}

export async function remoteOf({ keyFile, ...flags }: RemoteFlags): Promise<Remote> {
  const certificate = certificateIn(flags, process.env);
  return {
    url: await urlOf(flags),
    ...(certificate !== undefined && { certificate }),
    // Set to nothing counts as not set.
    key: keyFile === undefined ? process.env.ALT_LAS_API_KEY || undefined : readKey(keyFile),
    // Programs read it, and what they read is the same on every terminal.
    ...(flags.json === true && { language: "en" as const }),
  };
}

export function placesOf({ stdout, stderr }: RemoteIo): { readonly out: Terminal; readonly err: Terminal } {
  return { out: terminalOf(stdout), err: terminalOf(stderr) };
}

/** The failure was printed already. */
function exitWith(code: number): void {
  if (code !== 0) throw new CommanderError(code, "alt-las.ended", "");
}

/** Needs no key. */
function addReady(cli: Command, io: RemoteIo): void {
  placed(
    cli.command("ready").description("say whether a running server is ready, or why not; the exit status is 1 then"),
  ).action(async (flags: RemoteFlags) => {
    const { readyCommand } = await import("./ready.ts");
    const at = { url: await urlOf(flags), certificate: certificateIn(flags, process.env) };
    placesOf(io).out.write(`${said(await readyCommand(at))}\n`);
  });
}

function addGpus(cli: Command, io: RemoteIo): void {
  remote(cli.command("gpus").description("show the GPUs of a running server, or everything about one of them"))
    .addArgument(new Argument("[id]", "one GPU's number").argParser(gpuNumber))
    .action(async (gpuId: number | undefined, flags: RemoteFlags) => {
      const { gpusCommand } = await import("../gpus.ts");
      const { out } = placesOf(io);
      const { columns, colour } = out;
      out.write(
        `${await gpusCommand({ ...(await remoteOf(flags)), gpuId, json: flags.json === true, columns, colour })}\n`,
      );
    });
}

function addTop(cli: Command, io: RemoteIo): void {
  remote(cli.command("top").description("watch GPUs, callers, running tasks and the queue; q ends it"))
    .option("--interval <seconds>", "between two pictures", secondsFrom(0.2), 1)
    .action(async (flags: RemoteFlags & { interval: number }) => {
      const { top } = await import("./top.ts");
      const { json = false, interval } = flags;
      await top({ remote: await remoteOf(flags), json, interval, stdin: io.stdin, stdout: io.stdout });
    });
}

const FILTERS = [
  ["--status <status>", TASK_STATUSES.join(", ")],
  ["--user <name>", "only tasks of this user"],
  ["--type <type>", "only tasks of this type"],
  ["--gpu <id>", "only tasks that this GPU runs, ran, or alone may run"],
  ["--batch <id>", "only tasks of this batch"],
  ["--model <name>", "only tasks that this model runs or ran, or that ask for it"],
  ["--since <time>", "submitted then or later: ISO 8601 with zone, or like 30m, 2h, 1d for so long ago"],
  ["--until <time>", "submitted before, as --since"],
  ["--limit <number>", "tasks at most (default: what fits the terminal, else 100)"],
  ["--offset <number>", "tasks to skip"],
  ["--after <next>", "what follows the `next` of another answer"],
] as const;

/** The API's names for options that it calls otherwise; the others have its names. */
const FIELDS: Readonly<Record<string, string>> = { type: "task_type", gpu: "gpu_id", batch: "batch_id" };

type ListFlags = RemoteFlags & Readonly<Record<string, string | undefined>>;

function addTasks(cli: Command, io: RemoteIo): void {
  const command = remote(cli.command("tasks").description("list tasks, newest first"));
  for (const [flag, description] of FILTERS) command.option(flag, description);
  command.action(async (flags: ListFlags) => {
    const { tasksCommand } = await import("./tasks.ts");
    const { out } = placesOf(io);
    const filters = await filtersIn(FILTERS, flags, out);
    const { columns, colour } = out;
    const look = { columns, colour, json: flags.json === true };
    out.write(`${await tasksCommand(await remoteOf(flags), filters, look)}\n`);
  });
}

/** The selected filters, as the API calls them; on a terminal also a limit that fits it, if nobody sets one. */
async function filtersIn(
  options: readonly (readonly [string, string])[],
  flags: ListFlags,
  out: Terminal,
): Promise<Record<string, string>> {
  const { timeGiven } = await import("./tasks.ts");
  const filters: Record<string, string> = {};
  for (const [flag] of options) {
    const name = flag.slice(2, flag.indexOf(" "));
    const given = flags[name];
    if (given !== undefined) filters[FIELDS[name] ?? name] = /since|until/.test(name) ? timeGiven(given) : given;
  }
  // The head, the line below, and the prompt of the shell.
  if (out.columns !== null && flags.json !== true) filters["limit"] ??= String(Math.max(5, out.rows - 5));
  return filters;
}

const AUDIT_FILTERS = [
  ["--user <name>", "only what this user did"],
  ["--action <code>", "only this action, like config.change; docs/audit.md lists them"],
  ["--target <name>", "only what was done to this"],
  ["--since <time>", "then or later: ISO 8601 with zone, or like 30m, 2h, 1d for so long ago"],
  ["--until <time>", "before, as --since"],
  ["--limit <number>", "rows at most (default: what fits the terminal, else 100)"],
  ["--after <next>", "what follows the `next` of another answer"],
] as const;

function addAudit(cli: Command, io: RemoteIo): void {
  const command = remote(cli.command("audit").description("list who did what to what, newest first; for admins"));
  for (const [flag, description] of AUDIT_FILTERS) command.option(flag, description);
  command.action(async (flags: ListFlags) => {
    const { auditCommand } = await import("./audit.ts");
    const { out } = placesOf(io);
    const filters = await filtersIn(AUDIT_FILTERS, flags, out);
    const { columns, colour } = out;
    out.write(
      `${await auditCommand(await remoteOf(flags), filters, { columns, colour, json: flags.json === true })}\n`,
    );
  });
}

const ID = "its id; the first or last characters are enough where they fit one of the latest tasks";

function addTask(cli: Command, io: RemoteIo): void {
  remote(cli.command("task <id>").description(`show one task: ${ID}`))
    .option("--follow", "print its text as it comes, then its end; with --json its events, one a line")
    .action(async (id: string, flags: RemoteFlags & { follow?: boolean }) => {
      const { followTask, showTask } = await import("./task.ts");
      const { json = false, follow = false } = flags;
      await withSignals(io, async (signal) => {
        const options = { remote: await remoteOf(flags), id, json, signal, ...placesOf(io) };
        if (!follow) return showTask(options);
        exitWith(await followTask(options));
      });
    });
}

interface PredictFlags extends RemoteFlags, FormFlags {
  readonly model?: string;
  readonly maxLength?: string;
  readonly temperature?: string;
  readonly strategy?: string;
  readonly gpu?: string;
  readonly priority?: string;
  readonly wait?: boolean;
  readonly dryRun?: boolean;
  readonly logprobs?: string;
}

function addPredict(cli: Command, io: RemoteIo): void {
  remote(cli.command("predict <text>").description("submit a text and print what is generated; - reads standard input"))
    .option("--model <name>", "the model that is to run it")
    .option("--max-length <tokens>", "tokens to generate at most")
    .option("--temperature <number>", "0 to 1; 0 is greedy")
    .option("--json-object", "the text must be an object in JSON")
    .addOption(
      new Option("--schema <file>", "the text must be JSON that matches this JSON Schema").conflicts("jsonObject"),
    )
    .option("--strict", "with --schema: what of it cannot be made sure of is refused")
    .option("--tools <file>", "tools that the model may call, as JSON: a list of them, or one")
    .option("--logprobs <number>", "tell each token's probability, and so many others in its place, 0 to 20")
    .option("--strategy <name>", STRATEGIES.join(", "))
    .option("--gpu <id>", "the only GPU that may run it")
    .option("--priority <name>", PRIORITIES.join(", "))
    .option("--wait", "print the text as it comes, and end with the task (the default); Ctrl+C cancels the task")
    .option("--no-wait", "print the task's id and leave it to the server")
    .option("--dry-run", "only ask what would become of it")
    .addHelpText(
      "after",
      "\nThe exit status is 0 when the task has completed, 2 when it failed, 3 when it was canceled, 130 after Ctrl+C,\n" +
        "and 1 when the server did not take it.",
    )
    .action(async (given: string, flags: PredictFlags) => {
      const [{ predict }, { formIn }] = await Promise.all([import("./predict.ts"), import("./answer-form.ts")]);
      const text = given === "-" ? (await textOf(io.stdin())).replace(/\r?\n$/, "") : given;
      const { wait = true, json = false, dryRun = false } = flags;
      if (flags.strict === true && flags.schema === undefined)
        cli.error("error: option '--strict' needs option '--schema <file>'");
      await withSignals(io, async (signal) => {
        const request = { ...requestOf(text, flags), ...formIn(flags) };
        const how = { waits: wait, isDry: dryRun, json, signal };
        exitWith(await predict({ remote: await remoteOf(flags), request, ...how, ...placesOf(io) }));
      });
    });
}

function requestOf(
  text: string,
  { model, maxLength, temperature, strategy, gpu, priority, logprobs }: PredictFlags,
): object {
  const options = { strategy, specific_gpu_id: numberIn(gpu) };
  // JSON leaves out what is undefined.
  return {
    text,
    model,
    max_length: numberIn(maxLength),
    temperature: numberIn(temperature),
    logprobs: numberIn(logprobs),
    priority,
    gpu_options: options,
  };
}

/** A text that is no number is sent as it is, so that the server says what it must be. */
function numberIn(text: string | undefined): number | string | undefined {
  return text === undefined || text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text);
}

function addCancel(cli: Command, io: RemoteIo): void {
  remote(cli.command("cancel <ids...>").description(`cancel tasks, each by ${ID}`)).action(
    async (ids: string[], flags: RemoteFlags) => {
      const { cancelTasks } = await import("./control.ts");
      exitWith(await cancelTasks({ remote: await remoteOf(flags), ids, json: flags.json === true, ...placesOf(io) }));
    },
  );
}

function addDrain(cli: Command, io: RemoteIo): void {
  remote(cli.command("drain").description("take a GPU out of service: it gets no new tasks"))
    .addArgument(theGpu())
    .option("--deadline <seconds>", "then what still runs there goes back into the queue (default: it may finish)")
    .action(async (gpuId: number, flags: RemoteFlags & { deadline?: string }) => {
      const { drainGpu } = await import("./control.ts");
      const options = { remote: await remoteOf(flags), gpuId, json: flags.json === true, ...placesOf(io) };
      await drainGpu(options, { deadline_seconds: numberIn(flags.deadline) });
    });
  remote(cli.command("resume").description("bring a GPU back into service"))
    .addArgument(theGpu())
    .action(async (gpuId: number, flags: RemoteFlags) => {
      const { resumeGpu } = await import("./control.ts");
      await resumeGpu({ remote: await remoteOf(flags), gpuId, json: flags.json === true, ...placesOf(io) });
    });
}

function theGpu(): Argument {
  return new Argument("<gpu>", "its number").argParser(gpuNumber);
}

/** Does something that Ctrl+C, SIGTERM and a closed pipe end. */
export async function withSignals(
  io: Pick<RemoteIo, "stdout">,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const interruption = new AbortController();
  const interrupt = (): void => interruption.abort();
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const name of signals) process.once(name, interrupt);
  io.stdout.on("error", interrupt);
  try {
    await work(interruption.signal);
  } finally {
    for (const name of signals) process.off(name, interrupt);
    io.stdout.off("error", interrupt);
  }
}

function gpuNumber(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be an integer of at least 0.");
}

function secondsFrom(least: number): (text: string) => number {
  return (text) => {
    const seconds = Number(text);
    if (text.trim() !== "" && seconds >= least && seconds <= 3600) return seconds;
    throw new InvalidArgumentError(`It must be a number of seconds from ${least} to 3600.`);
  };
}
