/** Writes config.example.yaml from the schema: `node tools/config-example.ts > config.example.yaml`. */
import { pathToFileURL } from "node:url";
import { stringify } from "yaml";
import { ConfigSchema } from "../src/config/config.ts";

interface Described {
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Described>>;
}

/** Every key with its default; `null` where there is none. */
export function exampleYaml(): string {
  const head = [
    "# Every key of the configuration, with its default (null: none).",
    "# Copy this file to config.yaml, or name yours with --config; leave out the keys that you do not change.",
    "# ${NAME} takes a value from the environment: as text where a key takes text, so that a secret of digits stays text; else",
    "# as a number, or as true or false. ${NAME:-default} names a default for a variable that is not set or empty. $${ stands",
    "# for the characters ${ themselves.",
  ];
  return `${[...head, ...lines(ConfigSchema as unknown as Described, "")].join("\n")}\n`;
}

function lines({ properties = {} }: Described, indent: string): string[] {
  return Object.entries(properties).flatMap(([key, part]) => {
    const comment = (part.description ?? "").split("\n").flatMap((line) => wrapped(line, `${indent}# `));
    if (part.properties !== undefined) return ["", ...comment, `${indent}${key}:`, ...lines(part, `${indent}  `)];
    const value = stringify(part.default ?? null, { collectionStyle: "flow", lineWidth: 0 }).trim();
    return [...comment, `${indent}${key}: ${value}`];
  });
}

/** Characters of a line of comment, at most; a line that is longer breaks between words. A line that is indented is an example, and stays. */
const WIDTH = 120;

function wrapped(line: string, prefix: string): string[] {
  if (line === "") return [];
  if (line.startsWith(" ")) return [prefix + line];
  const rows: string[] = [];
  let row = "";
  for (const word of line.split(" ")) {
    if (row !== "" && prefix.length + row.length + 1 + word.length > WIDTH) {
      rows.push(prefix + row);
      row = "";
    }
    row += row === "" ? word : ` ${word}`;
  }
  return [...rows, prefix + row];
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) process.stdout.write(exampleYaml());
