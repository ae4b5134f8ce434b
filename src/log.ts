/** The log: on standard error, for people on a terminal and as JSON lines elsewhere. */
import { pino, type DestinationStream, type Logger } from "pino";
import pretty from "pino-pretty";
import { type Config } from "./config.ts";

export { type Logger } from "pino";

/** Keys whose values are never written, wherever a caller puts them. */
const SECRET_KEYS = [
  "authorization",
  "Authorization",
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
  "body",
  "result",
];

const STDERR = 2;

/** @param stream where to write JSON lines; undefined: standard error, in colour when it is a terminal */
export function createLogger(level: Config["log"]["level"], stream?: DestinationStream): Logger {
  return pino(
    {
      level,
      redact: {
        paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]),
        censor: "[secret]",
      },
    },
    stream ?? (process.stderr.isTTY ? forPeople() : pino.destination({ dest: STDERR, sync: true })),
  );
}

function forPeople(): DestinationStream {
  return pretty({
    destination: STDERR,
    sync: true,
    colorize: !process.env["NO_COLOR"],
    singleLine: true,
    translateTime: "SYS:HH:MM:ss.l",
    ignore: "pid,hostname",
  });
}
