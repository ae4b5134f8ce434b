/** Runs npm, also where it is a script of the system's shell. */
import { execFileSync, execSync, type StdioOptions } from "node:child_process";
import { SYSTEM } from "./system.ts";

/**
 * Returns the output of npm; what it says of its work goes to standard error.
 * @param cwd the folder that it works in
 * @throws what the system or npm says
 */
export function npm(args: readonly string[], cwd = process.cwd()): string {
  return run(args, cwd, ["ignore", "pipe", "inherit"]);
}

/** As `npm`, for somebody who watches: what it prints goes where this process prints. */
export function npmShown(args: readonly string[], cwd = process.cwd()): void {
  run(args, cwd, ["ignore", "inherit", "inherit"]);
}

function run(args: readonly string[], cwd: string, stdio: StdioOptions): string {
  const options = { cwd, stdio, encoding: "utf8" } as const;
  return SYSTEM.npmNeedsShell ? execSync(npmLine(args), options) : execFileSync("npm", args, options);
}

/** npm's command line for cmd.exe, in which every argument is nothing but a text. @throws {Error} for one that cannot be written so */
export function npmLine(args: readonly string[]): string {
  return ["npm", ...args.map(forCmd)].join(" ");
}

/** cmd.exe replaces names between percent signs also within quotes, and knows no way to write a quote there. */
function forCmd(arg: string): string {
  if (/["%\r\n]/.test(arg)) throw new Error(`npm cannot be given ${JSON.stringify(arg)} on this system.`);
  return /^[\w./:@=+-]+$/.test(arg) ? arg : `"${arg}"`;
}
