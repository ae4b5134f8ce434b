/** Which texts of the source are sentences, or parts of them, that people are shown. */
import type { Literal } from "./literals.ts";

/** Rooms whose sentences are all in the table. The words of programs and servers of others are shown as they are. */
export const ROOMS: readonly string[] = [
  "src/{http,scheduler,tasks,files,batch-files,webhooks,forms,auth}/**/*.ts",
  "src/{add-gpu,backup,cli,control,docs,doctor,forget,lab,upgrade}/**/*.ts",
  "src/{reasons,gone-texts,texts,task}.ts",
  "src/{cluster,common,config,engine,gpu,grammar,models}/**/*.ts",
  "src/store/{data-dir-lock,file-lock,folder-bytes,locked-change,store,texts-in-memory}.ts",
  "src/store/copying/*.ts",
  "src/store/postgres/{failures,lease,open-accounts,unfinished}.ts",
];

/** Prose has one of these words; names, headers and queries have none. */
const COMMON =
  /(?<![\w/.-])(?:the|is|are|was|were|be|been|must|of|not|no|has|have|had|an?|and|or|to|for|in|its?|with|at|by|can|cannot|does|do|that|this|there|only|from|as|on|one|all|none|any|nothing|already|again|than|if|but|more|less|here)(?![\w/-])/i;

/** What stands before texts for programs, logs and readers of the OpenAPI document. */
const ELSEWHERE: readonly RegExp[] = [
  /(?:description|summary|title|meaning|example|pattern|summaries|hint): ?(?:[\w.() ]+\? ?(?:"" ?: ?)?|\[[^\]]*)?$/,
  /\b(?:log|logger|#log)\??\.(?:info|warn|error|debug|trace|fatal)\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*$/,
  /new (?:Type|Range)?Error\((?:[^()]|\([^()]*\))*$/,
  /(?:#tell|#say|[dD]oubt(?:\?\.)?|describe)\((?:[^()]|\([^()]*\))*$/,
  /(?:\.(?:includes|startsWith)\(|===) ?$/,
  /const what = (?:\w+ \? "" : )?$/,
];

/** They have words for models, and for the log. */
const UNSEEN =
  /^src\/(?:cluster\/from-agent|engine\/(?:format-prompt|simulated\/(?:speech|words)|tools\/families))\.ts$/;

/** Statements, or their parts. */
const SQL = /\b(?:SELECT|INSERT INTO|CREATE TABLE|DROP TABLE)\b/;

/** They have descriptions of the configuration's keys. */
const SECTIONS = /^src\/config\/(?:[\w-]+-section|accounts|schema)\.ts$/;

/** Descriptions of fields in the OpenAPI document begin with a capital letter, or tell what null means. */
const DESCRIPTION = /^(?:[A-Z]|null:)/;

export function isShown(file: string, { text, before }: Literal): boolean {
  if (
    !/\w \w|\} \w|\w \{|\w, /.test(text) ||
    !COMMON.test(text) ||
    NOT_SHOWN.has(text) ||
    /^\s*[<#]/.test(text) ||
    SQL.test(text) ||
    text.startsWith("data: ")
  )
    return false;
  if (UNSEEN.test(file)) return false;
  if (SECTIONS.test(file) && DESCRIPTION.test(text)) return false;
  if (file.startsWith("src/http/schemas/") && (file.endsWith("-answers.ts") || DESCRIPTION.test(text))) return false;
  const code = before.replaceAll(/\s+/g, " ");
  return !ELSEWHERE.some((pattern) => pattern.test(code));
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
  "it has no keyword, and allows any JSON; perhaps its field schema was meant.",
  "it has no keyword beside type, and allows any object; perhaps its field schema was meant.",
  '{} "{}" leads nowhere.',
  '{} "{}" leads out of the schema, which is not followed.',
  "{} has to be told how long an answer may be (max_length, max_tokens): {}",
  ...["drained", "draining", "ready", "starting"].map((state) => `GPU {} ({}) is ${state}.`),
  ...["waiting", "first token", "end to end"].flatMap((name) => SPREAD.map((part) => `${name} ${part} s:`)),
  ...SPREAD.map((part) => `slowdown ${part}:`),
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
  "; perhaps its field schema was meant",
  "leads out of the schema, which is not followed",
  "at byte {}",
  "the answer",
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
  "To compile {}.",
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
  "there is 1 GPU",
  "there are {} GPUs",
]);
