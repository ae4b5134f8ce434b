/** Options that npm has taken for its own: everything before `--` is npm's. */
import { shellWord } from "../common/paste.ts";

/**
 * Options that npm kept for itself when a person typed `npm start --port 9000`.
 * @param options long names of the command's options, like "--port"
 * @param args the words that arrived as arguments; npm passes on the value of an option that it has kept
 * @param environment npm writes there what it has kept
 * @returns a sentence with the right command; null: npm has kept nothing of ours
 */
export function keptByNpm(
  options: readonly string[],
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
): string | null {
  if (environment["npm_lifecycle_event"] !== "start" || environment["npm_package_name"] !== "alt-las") return null;
  const kept = options.flatMap((option) => {
    const value = environment[`npm_config_${option.slice(2).replaceAll("-", "_")}`];
    return value === undefined ? [] : [{ option, value }];
  });
  if (kept.length === 0) return null;
  const words = kept.map(({ option, value }) => {
    // npm takes an option that it does not know for a switch, unless there is "=" in it.
    const meant = value === "true" ? (kept.length === 1 && args.length === 1 ? args[0]! : "VALUE") : value;
    return `${option} ${shellWord(meant)}`;
  });
  const names = kept.map(({ option }) => option).join(" and ");
  return `npm has kept ${names} for itself; options of the server come after two dashes: npm start -- ${words.join(" ")}`;
}
