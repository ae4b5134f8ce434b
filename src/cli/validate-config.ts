/** `alt-las validate-config`: the configuration and the files it names, and what was set in its place while the server ran. */
import { anonymousUserExists } from "../auth/anonymous.ts";
import { checkFiles, configFile, holdingWords, loadConfig, openValues } from "../config/config.ts";
import { readTls } from "../http/tls.ts";

/**
 * @param named the file; undefined: ./config.yaml, if it exists
 * @throws {AltLasError} `bad_config`, with a line for all that is wrong
 */
export function validateConfig(named: string | undefined, dataDir: string): string {
  const config = loadConfig(named, {}, [checkFiles, anonymousUserExists(dataDir)]);
  readTls(config.server.tls);
  const file = configFile(named);
  const { values, ignored } = openValues(config, dataDir);
  return [file === undefined ? "no file: defaults" : `${file}: valid`, ...values.map(holdingWords), ...ignored].join(
    "\n",
  );
}
