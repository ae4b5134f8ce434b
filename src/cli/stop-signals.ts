import { type System, SYSTEM } from "../common/system.ts";

/** Where a closed terminal soon ends the server whatever it does, the time until then is for its running tasks. */
export function stopSignals({ endsWithTerminal }: System = SYSTEM): readonly NodeJS.Signals[] {
  return ["SIGINT", "SIGTERM", ...(endsWithTerminal ? (["SIGHUP", "SIGBREAK"] as const) : [])];
}
