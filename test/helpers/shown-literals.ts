/** Which texts of the source are sentences, or parts of them, that people are shown. */
import { GPU_STATES } from "../../src/gpu/facts.ts";
import type { Literal } from "./literals.ts";

/** Rooms whose sentences are all in the table. The words of programs and servers of others are shown as they are. */
export const ROOMS: readonly string[] = [
  "src/{http,scheduler,tasks,files,batch-files,webhooks,forms,auth}/**/*.ts",
  "src/{add-gpu,backup,cli,control,docs,doctor,forget,lab,upgrade}/**/*.ts",
  "src/*.ts",
  "src/{cluster,common,config,engine,gpu,grammar,models,store}/**/*.ts",
];

/** Prose has one of these words, not written in capitals; names, headers and queries have none. */
const COMMON =
  /(?<![\w/.:-])(?:the|is|are|was|were|be|been|must|of|not|no|has|have|had|an?|and|or|to|for|in|its?|with|at|by|can|cannot|does|do|that|this|there|only|from|as|on|one|all|none|any|nothing|already|again|than|if|but|more|less|here)(?![\w/-])/gi;

/** What stands before texts for programs, logs and readers of the OpenAPI document. */
const ELSEWHERE: readonly RegExp[] = [
  /(?:description|summary|title|meaning|example|pattern|summaries|hint): ?(?:[\w.() ]+\? ?(?:"" ?: ?)?|\[[^\]]*)?$/,
  /\b(?:log|logger|#log)\??\.(?:info|warn|error|debug|trace|fatal)\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*$/,
  /new (?:Type|Range)?Error\((?:[^()]|\([^()]*\))*$/,
  /(?:#tell|#say|[dD]oubt(?:\?\.)?|describe)\((?:[^()]|\([^()]*\))*$/,
  /(?:\.(?:includes|startsWith)\(|===) ?$/,
];

/** They have words for models, and for the log. */
const UNSEEN =
  /^src\/(?:cluster\/from-agent|engine\/(?:format-prompt|simulated\/(?:speech|words)|tools\/families))\.ts$/;

/** Sentences about the store have no two words in capitals side by side. */
const STATEMENT = /\b[A-Z]{2,} [A-Z]{2,}\b/;

/** They have descriptions of the configuration's keys. */
const SECTIONS = /^src\/config\/(?:[\w-]+-section|accounts|schema)\.ts$/;

/** Descriptions of fields in the OpenAPI document begin with a capital letter, or tell what null means. */
const DESCRIPTION = /^(?:[A-Z]|null:)/;

export function isShown(file: string, { text, before }: Literal): boolean {
  if (
    !/\w \w|\} \w|\w \{|\w, /.test(text) ||
    !isProse(text) ||
    NOT_SHOWN.has(text) ||
    /^\s*[<#]/.test(text) ||
    (file.startsWith("src/store/") && STATEMENT.test(text)) ||
    text.startsWith("data: ")
  )
    return false;
  if (UNSEEN.test(file)) return false;
  if (SECTIONS.test(file) && DESCRIPTION.test(text)) return false;
  if (file.startsWith("src/http/schemas/") && (file.endsWith("-answers.ts") || DESCRIPTION.test(text))) return false;
  const code = before.replaceAll(/\s+/g, " ");
  return !ELSEWHERE.some((pattern) => pattern.test(code));
}

/** Statements have their words in capitals. */
function isProse(text: string): boolean {
  return Array.from(text.matchAll(COMMON), ([word]) => word).some(
    (word) => word === "A" || word !== word.toUpperCase(),
  );
}

/** Parts of the lab's figures. */
const SPREAD: readonly string[] = ["mean", "p50", "p95", "p99"];

/** Texts that are put together, of several literals or of the names of fields. */
export const COMPOSED: readonly string[] = [
  "Drained by the stop of machine {}.",
  "queued {}, prompt {}, first token after {}, generation {}",
  "named by {}; {}",
  "the defaults hold: there is no {}",
  "the defaults hold: there is neither {} nor {}",
  "Installed",
  "Data directory",
  "Configuration",
  "Task database",
  "Control socket",
  "Model cache",
  "Compiled code",
  "There is no file {}.",
  "all:",
  "a user",
  "an admin",
  "a viewer",
  "Memory ({} may be used) is enough for {} of {} slots, of {} tokens each.",
  "Memory ({} may be used) is enough for {} of {} tokens instead of {}.",
  "{} cannot be made private: {}.",
  "{}, or give the folder that is mounted there to number {}, on the host: sudo chown -R {} FOLDER",
  "{} must be an address like https://login.example.com; got {}.",
  "{} must begin with https:// (http:// is for issuers on this machine); got {}.",
  "{} must have no login, no query and no fragment; got {}.",
  "the environment variable {} is not set.",
  "the file {} is not there.",
  "the credential {} is not there.",
  "The model {} on GPU {}: {}",
  "{} at http{}",
  "{} at http{} failed: {}",
  "The server at {} failed: {}",
  "{} cannot continue a text (POST /v1/completions).",
  "{} cannot answer a chat (POST /v1/chat/completions).",
  "{} cannot make embeddings (POST /v1/embeddings).",
  "{} has to be told how long an answer may be (max_length, max_tokens): {}",
  "{} at {} cannot be used: {}",
  "{} at {} cannot be made sure of: {}",
  "{} of {} GPUs",
  "a string or a list of blocks",
  "a string or a list of text parts",
  "one text in a line of a batch",
  "1 in a line of a batch, as a line is one task",
  '"object", as the arguments of a tool are one',
  "GPU {} ({})",
  "GPU {} ({}), {}",
  ...GPU_STATES.map((state) => `GPU {} ({}) is ${state}.`),
  ...["waiting", "first token", "end to end"].flatMap((name) => SPREAD.map((part) => `${name} ${part} s:`)),
  ...SPREAD.map((part) => `slowdown ${part}:`),
  ...["The task database", "The log of the task database"].flatMap((what) =>
    ["deleted", "replaced", "cut short"].map((how) => `${what} was ${how} while the server ran.`),
  ),
  "Nothing can be stored or read until the server is started again.",
  ...["disk", "the database"].flatMap((where) =>
    ["written to", "read from"].map((how) => `tasks could not be ${how} ${where}: {}`),
  ),
  "1 uploaded file",
  "{} remembered answers",
  "1 remembered answer",
];

/** What the library of the command line says. */
export const OF_COMMANDER: readonly string[] = [
  "Usage:",
  "Options:",
  "Arguments:",
  "Commands:",
  "{} (default: {})",
  "{} (choices: {})",
  "error: unknown option '{}'",
  "error: missing required argument '{}'",
  "error: required option '{}' not specified",
  "error: option '{}' argument missing",
  "error: option '{}' argument '{}' is invalid. {}",
  "error: too many arguments for '{}'. Expected {} arguments but got {}.",
  "error: too many arguments for '{}'. Expected {} argument but got {}.",
  "(Did you mean {}?)",
  "Allowed choices are {}.",
];

/** Prose that stands in logs, in documents, or where the configuration is checked. */
export const NOT_SHOWN: ReadonlySet<string> = new Set([
  " by {}",
  "GPU {} ({}) is {}.{}{}",
  "{}{} at {}",
  "{} tells what cannot be true, and is not counted: {}.",
  "requests at once",
  "upgrade that server",
  "upgrade this agent",
  "the stop of machine {}",
  "of an unknown version",
  "{} and {}",
  "Memory ({} may be used) is enough for",
  "{} {} of {} slots, of {} tokens each.",
  "{} {} of {} tokens instead of {}.",
  "cannot be made private",
  "cannot be read",
  "cannot be written",
  "{}, or {}",
  "the {} {}",
  "{} is not {}.",
  "must be an address like https://login.example.com",
  "must begin with https:// (http:// is for issuers on this machine)",
  "must have no login, no query and no fragment",
  "'ANY 1 (*)'",
  "Once upon a time",
  "as a library",
  "as usual",
  "at byte {}",
  "end to end",
  "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:",
  "in an entry",
  "where it ends",
  '\n    const koffi = require("koffi");\n    for (const name of {}) try { koffi.load(name); console.log(name); } catch {}\n  ',
  "{}\nThe licence of the files in this folder was accepted when they were fetched.\n",
  "; {} more had no row of their own",
  ": it waits, {} ahead\n\n",
  "# HELP altlas_queue_depth Tasks that wait.\n# TYPE altlas_queue_depth gauge\naltlas_queue_depth 3\n",
  "The client has gone.",
  "The webhooks about a {}, with each try",
  "a GPU computes",
  "at once",
  "at {}",
  "by {}{}",
  "credentials read again",
  "it has none",
  "no team",
  "not ready",
  "on server.socket",
  "prompt is too long: {}",
  "the three final ones",
  "when it closes",
  "with events",
  "stopping as soon as the start has come to its end, a second signal ends it at once",
  "stopping: running tasks may finish, a second signal stops at once",
  '\'{"{}": "Once upon a time"}\'',
  "{} tasks, by {}",
  "{} was {}{}.",
  "{}; at most {} bytes.",
  "{}{} {} from {}{}.",
  "Ollama is running",
  "a webhook was delivered",
  "a webhook failed for now",
  "what was used before could not be read; budgets count from now on",
  "the text of a task could not be read; its slot is kept, and it is tried again",
  "texts that were read could not be removed; they are when store.unread_seconds are over",
  "states of tasks could not be written before the stop: what has ended among them runs again",
  "PostgreSQL has standbys that no commit waits for ({}): a failover to one may lose tasks that were answered; synchronous_standby_names says which are waited for",
  "the answer",
  "The task database",
  "The log of the task database",
  "{} was {} while the server ran. Nothing can be stored or read until the server is started again.",
  "{} was {} while the server ran: nothing can be stored until it is started again; {}",
  "what is in no copy is lost",
  "what was stored until now was saved into the database",
  "what was in the log is lost: it was {}, and {}",
  "written to",
  "read from",
  "tasks could not be {} disk: {}",
  "tasks could not be {} the database: {}",
  "not copied",
  "the disk has no room for it",
  "the task database is copied before it is upgraded",
  "the task database is upgraded without a copy of it as it was",
  "the task database gets step {} of {} of its schema",
  "brings {} of {} tasks over",
  "far ahead of",
  "forward, or this machine has slept",
  "the look has failed",
  "the database did not answer the last look",
  "the connection was lost",
  "energy_joules queued_seconds kept_from lifetime ended_at at failing_since paused_at",
  "that place is no address of PostgreSQL",
  "the table file_pieces",
  "it has not answered for {} seconds",
  "the task database cannot be reached: {}; nothing is stored until it can, which is tried all the time",
  "the task database can be reached again",
  "the task database is older than it was: transactions that it had committed are gone, as after a failover to a standby that was behind; this server ends, and the next start goes on with what is there",
  "another server has taken the task database{}: this one had not renewed its lease, and stores nothing any more",
  "batch canceled by another user",
  "file removed by another user",
  "task canceled by another user",
  "task removed by another user",
  "task submitted again by another user",
  "there is 1 GPU",
  "there are {} GPUs",
]);
