/** Writes docs/configuration-keys.md from the schema: `node tools/config-reference.ts > docs/configuration-keys.md`. */
import { pathToFileURL } from "node:url";
import { ConfigSchema } from "../src/config/config.ts";
import { type Counts, countsFrom, keyName } from "../src/config/keys.ts";

/** What we read of a schema. */
interface Part {
  readonly description?: string;
  readonly default?: unknown;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Part[];
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  /** Our own keyword: what is allowed, in words. */
  readonly allowed?: string;
  readonly properties?: Readonly<Record<string, Part>>;
  readonly patternProperties?: Readonly<Record<string, Part>>;
}

const COUNTS: Readonly<Record<Counts, string>> = { now: "at once", reload: "by a reload", start: "at a start" };

const HEAD = `# All keys

Made from the schema, as [config.example.yaml](../config.example.yaml) is, which has longer examples. [Configuration](configuration.md) says where values come from.
A change counts *at once*, however it is made; *by a reload* of the file; or *at a start*. \`*\` stands for a name that you choose.`;

/** Every key with what it may be, its default, when a change counts, and what it means. */
export function referencePage(): string {
  const { properties = {} } = ConfigSchema as unknown as Part;
  const single = Object.entries(properties).filter(([, part]) => !isSection(part));
  const sections = Object.entries(properties).filter(([, part]) => isSection(part));
  const parts = sections.map(([key, part]) => `## ${key}\n\n${sentence(part)}\n\n${table(rows(part, [key]))}`);
  const rest = `## Without a section\n\n${table(single.flatMap(([key, part]) => rows(part, [key])))}`;
  return `${[HEAD, ...parts, rest].join("\n\n")}\n`;
}

function isSection({ properties, patternProperties }: Part): boolean {
  return properties !== undefined || patternProperties !== undefined;
}

function table(lines: readonly string[]): string {
  return ["| key | may be | default | counts | |", "| --- | --- | --- | --- | --- |", ...lines].join("\n");
}

function rows(part: Part, path: readonly string[]): string[] {
  const { properties = {}, patternProperties = {}, description = "" } = part;
  if (isSection(part))
    return [
      ...Object.entries(properties).flatMap(([key, inner]) => rows(inner, [...path, key])),
      // What stands under a chosen name may be described as a whole only.
      ...Object.values(patternProperties).flatMap((inner) => rows({ description, ...inner }, [...path, "*"])),
    ];
  const standard = part.default === undefined ? "`null`" : `\`${JSON.stringify(part.default)}\``;
  const cells = [`\`${keyName(path)}\``, valuesOf(part), standard, COUNTS[countsFrom(path)], sentence(part)];
  return [`| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`];
}

/** What a value may be, in words. */
function valuesOf(part: Part): string {
  const { allowed, enum: listed, const: one, anyOf, type } = part;
  if (allowed !== undefined) return allowed;
  if (one !== undefined) return `\`${String(one)}\``;
  if (listed !== undefined) return listed.map((value) => `\`${String(value)}\``).join(", ");
  if (anyOf !== undefined) return [...new Set(anyOf.map(valuesOf))].join(", ");
  const names = [type ?? []].flat().map((name) => TYPES[name] ?? name);
  return names.join(" or ") + rangeOf(part);
}

const TYPES: Readonly<Record<string, string>> = {
  string: "text",
  integer: "whole number",
  boolean: "`true`, `false`",
  array: "list",
  object: "object",
};

function rangeOf({ minimum, exclusiveMinimum, maximum }: Part): string {
  const least =
    minimum !== undefined ? `from ${minimum}` : exclusiveMinimum !== undefined ? `above ${exclusiveMinimum}` : "";
  const most = maximum === undefined ? "" : `to ${maximum}`;
  const range = [least, most].filter((word) => word !== "").join(" ");
  return range === "" ? "" : `, ${range}`;
}

/** Without its examples, which are lines of their own. */
function sentence({ description = "" }: Part): string {
  const lines = description.split("\n").filter((line) => !line.startsWith(" "));
  return lines
    .join(" ")
    .replaceAll(/[<>*]/g, "\\$&")
    .replaceAll(/https?:[^\s,;]*[^\s,;.]/g, "`$&`")
    .replaceAll(/docs\/([\w-]+\.md)/g, "[$1]($1)");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) process.stdout.write(referencePage());
