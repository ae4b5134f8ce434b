/** The log: on standard error, for people on a terminal and as JSON lines elsewhere. */
import { createRequire } from "node:module";
import { pino, type DestinationStream, type Logger, symbols } from "pino";
import type { default as Pretty } from "pino-pretty";
import { legibleText } from "../common/legible.ts";
import type { Config } from "../config/config.ts";
import { withoutStartLines } from "./start-lines.ts";

export { type Logger } from "pino";

/** For what only a terminal needs. */
const require = createRequire(import.meta.url);

/** Keys whose values are never written, wherever a caller puts them. */
const SECRET_KEYS = [
  "authorization",
  "Authorization",
  "x-api-key",
  "headers",
  "rawHeaders",
  "password",
  "password_hash",
  "passwordHash",
  "key",
  "api_key",
  "apiKey",
  "sha256",
  "text",
  "prompt",
  "messages",
  "content",
  "input",
  "inputs",
  "reasoning",
  "body",
  "result",
];

const STDERR = 2;

/**
 * Characters of lines that wait while nobody reads the log or the disk is full; further lines are lost. Enough for the ends of
 * 100,000 tasks at once.
 */
const MAX_WAITING = 16 * 1024 * 1024;
/** Milliseconds until lines that wait are tried again, if no new one comes before. */
const RETRY_MS = 100;

/**
 * The log of a server that shows a first screen: on a terminal, lines of the start do not follow it.
 * @param isAsked whether somebody has asked for lines of this level
 */
export function createServerLogger(level: Config["log"]["level"], isAsked: boolean): Logger {
  const isQuiet = process.stderr.isTTY && level === "info" && !isAsked;
  return createLogger(level, isQuiet ? withoutStartLines(forPeople()) : undefined);
}

/** @param stream where to write JSON lines; undefined: standard error, in colour when it is a terminal */
export function createLogger(level: Config["log"]["level"], stream?: DestinationStream): Logger {
  const children: WeakRef<Logger>[] = [];
  const log = pino(
    {
      level,
      onChild: (child) => note(children, child),
      redact: {
        paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]),
        censor: "[secret]",
      },
    },
    stream ?? (process.stderr.isTTY ? forPeople() : forMachines()),
  );
  families.set(log, children);
  return log;
}

/**
 * The same log, for lines that come with every task or request: pino goes through the fields of a line one by one, in twice the time that JSON takes.
 * It looks for no secrets, so each field has to be named where the line is made.
 */
export function forManyLines(log: Logger): Logger {
  const many = log.child({}, { redact: [] }) as Logger & LineMaker;
  const whole = many[symbols.asJsonSym];
  many[symbols.asJsonSym] = (fields, message, level, time) => {
    // Errors are more than JSON shows of them.
    if ("err" in fields) return whole.call(many, fields, message, level, time);
    const rest = JSON.stringify({ ...fields, msg: message });
    return `{"level":${level}${time}${many[symbols.chindingsSym]},${rest.slice(1)}\n`;
  };
  return many;
}

/** The part of a logger that makes its lines, and the text that is the same in all of them. */
interface LineMaker {
  [symbols.asJsonSym](fields: object, message: string | undefined, level: number, time: string): string;
  readonly [symbols.chindingsSym]: string;
}

/** By the logger that the others were made of. */
const families = new WeakMap<Logger, WeakRef<Logger>[]>();

/** Loggers above which those are left out that nobody has any more. */
const MANY = 256;

function note(children: WeakRef<Logger>[], child: Logger): void {
  if (children.length >= MANY) {
    const alive = children.filter((one) => one.deref() !== undefined);
    children.splice(0, children.length, ...alive);
  }
  children.push(new WeakRef(child));
}

/** Changes the level of a logger, and of those made of it that have the same one: of itself, pino leaves these as they are. */
export function setLevel(log: Logger, level: Config["log"]["level"]): void {
  const before = log.level;
  log.level = level;
  for (const child of families.get(log) ?? []) {
    const logger = child.deref();
    if (logger?.level === before) logger.level = level;
  }
}

function forMachines(): DestinationStream {
  const destination = pino.destination({ dest: STDERR, sync: true, maxLength: MAX_WAITING, retryEAGAIN: never });
  let retry: NodeJS.Timeout | undefined;
  // Without a listener each line that cannot be written would throw, in whatever wanted to tell of it.
  destination.on("error", () => {
    retry ??= setTimeout(() => {
      retry = undefined;
      // Writes waiting lines, which would else wait for the next line.
      destination.write("");
    }, RETRY_MS);
  });
  return inTurns(destination);
}

/** Writes all lines of a turn of the event loop at once: a system call for each is a twentieth of what a submission costs. */
function inTurns(destination: DestinationStream): DestinationStream {
  let lines = "";
  const write = (): void => {
    if (lines !== "") destination.write(lines);
    lines = "";
  };
  process.on("exit", write);
  return {
    write(line: string): void {
      if (lines === "") setImmediate(write);
      lines += line;
    },
  };
}

/** Lines wait while a pipe is full; else each would hold up the whole server until somebody reads. */
function never(): boolean {
  return false;
}

function forPeople(): DestinationStream {
  const destination = pino.destination({ dest: STDERR, sync: true });
  // A terminal that was closed takes no line any more, which must not end the server.
  destination.on("error", () => {});
  return forTerminal(destination);
}

/** Lines as people read them. Text of a client or a model's server may be in any of them, and neither changes colours nor adds lines. */
export function forTerminal(destination: NodeJS.WritableStream | DestinationStream): DestinationStream {
  const pretty = require("pino-pretty") as typeof Pretty;
  const shown = pretty({
    destination: destination as NodeJS.WritableStream,
    colorize: !process.env["NO_COLOR"],
    singleLine: true,
    translateTime: "SYS:HH:MM:ss.l",
    ignore: "pid,hostname",
  });
  return { write: (line) => void shown.write(harmless(line)) };
}

/** @param line in JSON */
function harmless(line: string): string {
  const parts: unknown = JSON.parse(line, (key, part: unknown) => {
    if (typeof part !== "string") return part;
    // A further line of a message must not look like one of the log.
    return key === "msg" ? legibleText(part).replaceAll("\n", "\n    ") : legibleText(part);
  });
  return `${JSON.stringify(parts)}\n`;
}
