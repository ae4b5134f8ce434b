/** Where the configuration is. Apart from what reads it, which the help can do without. */
import { existsSync } from "node:fs";
import { type Place, type Surroundings, userConfigFile } from "../common/places.ts";

/** The file that counts; undefined: none, and the defaults hold. */
export function configFile(named: string | undefined): string | undefined {
  return configPlace(named)?.path;
}

/** The meaning of `--config`, for the help. */
export const CONFIG_WORDS = `configuration file (default: ${["./config.yaml", userConfigFile()?.path].filter((path) => path !== undefined).join(", else ")}, if it exists)`;

/** As `configFile`, with why: the one named, else ./config.yaml if it exists, else that of the user, if it exists. */
export function configPlace(named: string | undefined, around?: Surroundings): Place | undefined {
  if (named !== undefined) return { path: named, why: "named by --config" };
  const user = userConfigFile(around);
  if (existsSync("config.yaml")) {
    const first = user !== null && existsSync(user.path) ? `, before ${user.path}` : "";
    return { path: "config.yaml", why: `in the current folder${first}` };
  }
  return user !== null && existsSync(user.path) ? user : undefined;
}
