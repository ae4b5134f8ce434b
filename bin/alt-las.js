#!/usr/bin/env node
import { existsSync } from "node:fs";
// In Node SIGUSR1 opens a debugger, in which anybody on this machine could run what they like. Heard, it does nothing.
process.on("SIGUSR1", () => {});
const [, , command = "serve", ...rest] = process.argv;
const asksOnly = [command, ...rest].some((word) => /^(-h|--help|--version)$/.test(word));
const serves = !asksOnly && (command === "serve" || command.startsWith("-"));
// A terminal that closes stops no server, also while it starts; src/cli/serve.ts says so later.
if (serves) process.on("SIGHUP", () => {});
// Plain JavaScript that every Node since 12 can read: TypeScript would die on its syntax before it could say what is wrong.
const NEEDED = 24;
const major = Number(process.versions.node.split(".")[0]);
if (major < NEEDED) {
  // Only a clone has its own Node among its packages, and only a clone has TypeScript.
  const isClone = existsSync(new URL("../src/cli/cli.ts", import.meta.url));
  // Only what npx fetched itself has to be named: npx would ask the registry for a package that is installed already.
  const again = /[\\/]_npx[\\/]/.test(import.meta.url) ? " -p alt-las" : "";
  const advice = isClone
    ? "run it as `npm start` or `npx alt-las` after an `npm ci` that was allowed to run install scripts (they bring the right Node)"
    : `install Node ${NEEDED}, or type \`npx -p node@${NEEDED}${again} alt-las\`, which fetches it for this one time`;
  console.error(`ALT_LAS needs Node ${NEEDED} or later, and this is Node ${process.versions.node}: ${advice}.`);
  process.exit(1);
}
/** A signal that came before the first line above opens its debugger while this file runs, and again when events are first looked for. */
function closeDebugger() {
  const wanted = /--inspect/.test([process.execArgv, process.env.NODE_OPTIONS].join(" "));
  const { url, close } = process.getBuiltinModule("node:inspector");
  if (!wanted && url() !== undefined) close();
}
closeDebugger();
setImmediate(closeDebugger);
// For a server that is busy: tasks under way outlive V8's usual young generation (MiB; V8 takes them only while they are needed), and moving
// them to the old one costs a tenth of the tasks each second.
const { execArgv, env: given } = process;
if (serves && !/--max-semi-space-size/.test([execArgv, given.NODE_OPTIONS].join(" ")))
  process.getBuiltinModule("node:v8").setFlagsFromString("--max-semi-space-size=64");
// Counted, as time may pass while nothing is looked for: what was closed too early would stay open.
let looks = 0;
const watch = setInterval(() => {
  closeDebugger();
  if (++looks === 100) clearInterval(watch);
}, 50);
watch.unref();
// Before anything that takes long: on a busy machine that is many seconds. Elsewhere than on a terminal the log says it.
const { LC_ALL, LC_MESSAGES, LANG } = given;
const isTurkish = /^tr(?:[-_.@]|$)/i.test(LC_ALL || LC_MESSAGES || LANG || "");
if (process.stderr.isTTY && serves) console.error(isTurkish ? "ALT_LAS başlıyor …" : "ALT_LAS is starting …");
// Compiled code is kept beside the packages, also for the processes that are started from here: a third less to compute at each start.
// Not in the system's temporary folder, where others could put code of theirs. Where it cannot be written, nothing is kept.
Promise.all([import("node:module"), import("node:url")])
  .then(([{ enableCompileCache }, { fileURLToPath }]) => {
    closeDebugger();
    const { env } = process;
    env.NODE_COMPILE_CACHE =
      env.NODE_COMPILE_CACHE || fileURLToPath(new URL("../node_modules/.cache/compiled", import.meta.url));
    enableCompileCache();
    return import("#cli");
  })
  .then(async ({ main }) => {
    closeDebugger();
    const code = await main(process.argv);
    process.exitCode = code;
    // A start that failed may leave what keeps a process alive, as a connection on which nobody answers: nothing would start it anew.
    if (code !== 0) process.stdout.write("", () => process.stderr.write("", () => process.exit(code)));
    return code;
  });
