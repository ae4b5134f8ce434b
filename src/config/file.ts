/** A configuration file as data: YAML, its environment variables, and the line of each key. */
import { isMap, isNode, isScalar, LineCounter, parseDocument, visit, type Document } from "yaml";
import { AltLasError } from "../errors.ts";

/** What a file says, and where. */
export interface ConfigText {
  readonly value: unknown;
  /** "FILE:LINE: " of the key that a path leads to. */
  readonly where: (path: readonly (string | number)[]) => string;
}

/**
 * Reads YAML and puts in the environment variables that it names.
 * @param path only named in sentences
 * @throws {AltLasError} `bad_config`
 */
export function readYaml(text: string, path: string): ConfigText {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const problem = document.errors[0];
  if (problem) {
    const { line, col } = lines.linePos(problem.pos[0]);
    const [what = ""] = problem.message.split("\n");
    const sentence = what.replace(/ at line \d+, column \d+:?$/, "");
    throw new AltLasError("bad_config", `${path}:${line}:${col}: not YAML: ${sentence}.`);
  }
  substituteEnvironment(document, path, lines);
  const value: unknown = document.toJS() ?? {};
  if (isCircular(value)) throw new AltLasError("bad_config", `${path}: an alias (*) stands inside what it refers to.`);
  return { value, where: (at) => `${path}:${lineOf(document, lines, at)}: ` };
}

/** Replaces `${NAME}` in every scalar by that environment variable; a scalar that is nothing else is read as YAML again. */
function substituteEnvironment(document: Document, path: string, lines: LineCounter): void {
  visit(document, {
    Scalar(_key, node) {
      if (typeof node.value !== "string" || !node.value.includes("${")) return;
      const text = node.value.replace(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_match, name: string) => {
        const value = process.env[name];
        if (value !== undefined) return value;
        const line = lines.linePos(node.range?.[0] ?? 0).line;
        throw new AltLasError("bad_config", `${path}:${line}: the environment variable ${name} is not set.`);
      });
      const whole = /^\$\{[A-Za-z0-9_]+\}$/.test(node.value);
      node.value = whole && /^(true|false|-?\d+(\.\d+)?)$/.test(text) ? JSON.parse(text) : text;
    },
  });
}

function isCircular(value: unknown): boolean {
  try {
    JSON.stringify(value);
    return false;
  } catch {
    return true;
  }
}

/** The line of the key or list item that `path` leads to, or of the nearest one around it that is in the file. */
function lineOf(document: Document, lines: LineCounter, path: readonly (string | number)[]): number {
  for (let length = path.length; length > 0; length--) {
    const parent = document.getIn(path.slice(0, length - 1), true);
    const name = path[length - 1];
    const pair = isMap(parent)
      ? parent.items.find(({ key }) => isScalar(key) && String(key.value) === String(name))
      : undefined;
    const node = pair?.key ?? document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return 1;
}
