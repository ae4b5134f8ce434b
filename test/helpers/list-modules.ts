/** Loaded before a program: at its end the addresses of all modules that it has loaded, a line each, are in the file that MODULES names. */
import { writeFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { isMainThread } from "node:worker_threads";

const { MODULES = "" } = process.env;
// Not in the processes that the program starts, nor in its threads.
delete process.env.MODULES;
if (MODULES !== "" && isMainThread) {
  const loaded: string[] = [];
  registerHooks({
    load(url, context, next) {
      loaded.push(url);
      return next(url, context);
    },
  });
  // Node's own, too, whoever has asked for them.
  const builtins = (process as unknown as { readonly moduleLoadList: readonly string[] }).moduleLoadList;
  process.on("exit", () => writeFileSync(MODULES, [...loaded, ...builtins].join("\n")));
}
