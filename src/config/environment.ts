/**
 * `${NAME}` and `${NAME:-default}` in a configuration file, and in the place of the name of a variable `file:/path` or `credential:name`
 * (secret-files.ts).
 *
 * 1. The key decides on the type of a reference: a key that takes a string gets the text as it is, so that a secret of digits stays one,
 *    and a key that takes a number or true and false gets that. Where a key takes both, quotes make a string.
 * 2. The default counts where the variable is not set or empty, or the file is not there or empty, as for shells and Docker Compose. With nothing after `:-` the key is then as
 *    if it were left out.
 * 3. `$${` stands for the two characters `${`. Every other `${` is a mistake, and never text.
 */
import type { TSchema } from "../common/type.ts";
import type { Finding, Path } from "./findings.ts";
import { credential, secretFile } from "./secret-files.ts";

/** A text of the file that has references in it. */
export class Template {
  readonly text: string;
  /** Whether the file says that it is a string, whatever it looks like. */
  readonly isString: boolean;

  constructor(text: string, isString: boolean) {
    this.text = text;
    this.isString = isString;
  }
}

export function hasReferences(text: string): boolean {
  return text.includes("${");
}

export interface Filled {
  readonly value: unknown;
  /** References that cannot be followed; their values are left out. */
  readonly findings: readonly Finding[];
}

/** A copy of a file's data with values in the place of its templates. */
export function fillTemplates(value: unknown, schema: TSchema, environment: NodeJS.ProcessEnv): Filled {
  const findings: Finding[] = [];
  const fill = (part: unknown, path: Path): unknown => {
    if (part instanceof Template) {
      const text = resolved(part.text, environment);
      if ("fault" in text) {
        findings.push({ path, sentence: text.fault });
        return null;
      }
      return text.value === "" ? null : typed(text.value, part.isString, partsAt(schema as SchemaPart, path));
    }
    if (Array.isArray(part)) return part.map((item, index) => fill(item, [...path, index]));
    if (part === null || typeof part !== "object") return part;
    return Object.fromEntries(Object.entries(part).map(([key, inner]) => [key, fill(inner, [...path, key])]));
  };
  return { value: fill(value, []), findings };
}

/** `$${`, or `${` with what follows up to its end. */
const REFERENCE = /\$\$\{|\$\{([^}]*)(\}?)/g;
const INSIDE = /^((?:file|credential):.+?|[A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s;

/** The value that a reference refers to. @returns undefined: it is not there; a `fault`: it cannot be used */
function lookUp(
  name: string,
  environment: NodeJS.ProcessEnv,
): { readonly found: string | undefined } | { readonly fault: string } {
  const [, kind, where = ""] = /^(file|credential):(.+)$/s.exec(name) ?? [];
  if (kind === undefined) return { found: environment[name] };
  return kind === "file" ? secretFile(where) : credential(where, environment);
}

/** A reference in words. */
function wordsOf(name: string): string {
  const [, kind, where] = /^(file|credential):(.+)$/s.exec(name) ?? [];
  return kind === undefined ? `the environment variable ${name}` : `the ${kind} ${where}`;
}

/** @returns the text, or what is wrong */
export function resolved(
  text: string,
  environment: NodeJS.ProcessEnv,
): { readonly value: string } | { readonly fault: string } {
  const faults: string[] = [];
  const empty: string[] = [];
  const value = text.replace(REFERENCE, (all, reference: string | undefined, end: string) => {
    if (reference === undefined) return "${";
    const [, name, standIn] = (end === "}" && INSIDE.exec(reference)) || [];
    if (name === undefined || standIn?.includes("${")) {
      faults.push(
        `${JSON.stringify(all)} is neither \${NAME} nor \${NAME:-default} nor \${file:/path} nor \${credential:name}; $\${ stands for "\${".`,
      );
      return "";
    }
    const looked = lookUp(name, environment);
    if ("fault" in looked) {
      faults.push(looked.fault);
      return "";
    }
    const { found } = looked;
    if (standIn !== undefined) return found || standIn;
    if (found === undefined) faults.push(`${wordsOf(name)} is not ${name.includes(":") ? "there" : "set"}.`);
    if (found === "") empty.push(name);
    return found ?? "";
  });
  if (faults.length > 0) return { fault: faults[0]! };
  if (value === "" && empty.length > 0)
    return {
      fault: `${wordsOf(empty[0]!)} is empty; give it a value, or a default: \${${empty[0]!}:-default}.`,
    };
  return { value };
}

/** The parts of a JSON schema that say of what type a value is. */
export interface SchemaPart {
  readonly type?: string;
  readonly secret?: boolean;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly SchemaPart[];
  readonly then?: SchemaPart;
  readonly else?: SchemaPart;
  readonly properties?: Readonly<Record<string, SchemaPart>>;
  readonly patternProperties?: Readonly<Record<string, SchemaPart>>;
  readonly additionalProperties?: SchemaPart | boolean;
  readonly items?: SchemaPart;
}

/** Everything that the schema allows at a path. */
export function partsAt(schema: SchemaPart, path: Path): SchemaPart[] {
  return path.reduce((parts, key) => parts.flatMap((part) => inside(part, key)), alternatives(schema));
}

function inside(part: SchemaPart, key: string | number): SchemaPart[] {
  const { properties = {}, patternProperties = {}, additionalProperties, items } = part;
  if (Object.hasOwn(properties, key)) return alternatives(properties[key]!);
  const others = typeof additionalProperties === "object" ? [additionalProperties] : [];
  const found = typeof key === "number" && items !== undefined ? [items] : others;
  return [...Object.values(patternProperties), ...found].flatMap(alternatives);
}

function alternatives(part: SchemaPart): SchemaPart[] {
  const inner = [...(part.anyOf ?? []), part.then, part.else].filter((one) => one !== undefined);
  return [part, ...inner.flatMap(alternatives)];
}

/** As YAML writes them; with a leading zero it is a text. */
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?$/;

function typed(text: string, isString: boolean, parts: readonly SchemaPart[]): string | number | boolean {
  const takes = (...types: string[]): boolean => parts.some(({ type }) => type !== undefined && types.includes(type));
  const lists = (value: unknown): boolean => parts.some((part) => part.enum?.includes(value));
  if (lists(text) || (isString && takes("string"))) return text;
  if (NUMBER.test(text) && takes("integer", "number")) return Number(text);
  const flag = text === "true" || text === "false" ? text === "true" : undefined;
  return flag !== undefined && (takes("boolean") || lists(flag)) ? flag : text;
}
