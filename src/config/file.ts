/** A configuration file as data: its YAML, and the line of each key. */
import { closeSync, openSync, readSync } from "node:fs";
import { createRequire } from "node:module";
import type { Document, LineCounter, Scalar } from "yaml";
import { pathFault } from "../common/file-words.ts";
import { AltLasError, messageOf } from "../errors.ts";
import { hasReferences, resolved, Template } from "./environment.ts";
import { listed, type Path } from "./findings.ts";

const require = createRequire(import.meta.url);

/** Its 72 modules are loaded for a file that says something. */
const yaml = (): typeof import("yaml") => require("yaml") as typeof import("yaml");

/** Bytes: thousands of users fit, and what is larger is another file. */
const MAX_BYTES = 4 * 1024 * 1024;

/** @throws {AltLasError} `bad_config`: it cannot be read, or is too large */
export function readConfigFile(path: string): string {
  try {
    const bytes = beginningOf(path, MAX_BYTES + 1);
    if (bytes.length <= MAX_BYTES) return bytes.toString("utf8");
  } catch (error) {
    throw new AltLasError("bad_config", `The configuration file ${path} cannot be read: ${pathFault(error)}.`);
  }
  throw new AltLasError("bad_config", `The configuration file ${path} has more than ${MAX_BYTES} bytes.`);
}

/** Without asking for its size first, which a pipe does not have and a device does not tell. */
function beginningOf(path: string, most: number): Buffer {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(most);
    let length = 0;
    for (let read = -1; read !== 0 && length < most; length += read)
      read = readSync(file, bytes, length, most - length, null);
    return bytes.subarray(0, length);
  } finally {
    closeSync(file);
  }
}

/** The values of a file, and where each stands. */
export interface ConfigText {
  /** With a `Template` for each text that has references to the environment. */
  readonly value: unknown;
  /** The line of the key or list item that a path leads to, or of the nearest one around it that is in the file. */
  readonly lineOf: (path: Path) => number;
}

/**
 * Reads YAML.
 * @param path only named in sentences
 * @throws {AltLasError} `bad_config`, with a line for each thing that is not YAML
 */
export function readYaml(text: string, path: string): ConfigText {
  const { LineCounter, parseDocument } = yaml();
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, { lineCounter: lines, logLevel: "error" });
    refuseErrors(document, { text, path, lines });
    markTemplates(document, (node) => `${path}:${lines.linePos(node.range?.[0] ?? 0).line}: `);
    const value: unknown = document.toJS() ?? {};
    if (isCircular(value)) refuse(path, "an alias (*) stands inside what it refers to.");
    return { value, lineOf: (at) => lineOf(document, lines, at) };
  } catch (error) {
    if (error instanceof AltLasError) throw error;
    if (error instanceof RangeError) refuse(path, "it is nested too deeply.");
    // Of yaml's own, as for aliases that unfold to a thousand times the file.
    refuse(path, `it cannot be read as YAML: ${messageOf(error).replace(/\.$/, "")}.`);
  }
}

/** One error a line of the file: what follows from an error comes often right behind it. */
function refuseErrors(
  { errors }: Document,
  { text, path, lines }: { readonly text: string; readonly path: string; readonly lines: LineCounter },
): void {
  const byLine = new Map<number, string>();
  for (const { pos, message } of errors) {
    if (message.startsWith("Maximum call stack")) throw new RangeError(message);
    const { line, col } = lines.linePos(pos[0]);
    if (!byLine.has(line)) byLine.set(line, `${path}:${line}:${col}: not YAML: ${faultAt(text, pos[0], message)}.`);
  }
  const sorted = [...byLine].toSorted(([a], [b]) => a - b).map(([, sentence]) => sentence);
  if (sorted.length > 0) throw new AltLasError("bad_config", listed(sorted));
}

/** @param message of yaml's */
function faultAt(text: string, position: number, message: string): string {
  const reference = /^\$\{[^}\n]*\}/.exec(text.slice(position - 1))?.[0];
  if (reference !== undefined)
    return `inside { } and [ ] a value with a reference needs quotes, like ${JSON.stringify(reference)}`;
  const [what = ""] = message.split("\n");
  return what.replace(/ at line \d+, column \d+:?$/, "").replace(/\.$/, "");
}

/** Keys are always text; what a value becomes is decided where its path is known, as an alias may put it in several places. */
function markTemplates(document: Document, placeOf: (node: Scalar) => string): void {
  const { Scalar, visit } = yaml();
  visit(document, {
    Scalar(key, node) {
      if (typeof node.value !== "string" || !hasReferences(node.value)) return;
      if (key === "key") {
        const text = resolved(node.value, process.env);
        if ("fault" in text) throw new AltLasError("bad_config", placeOf(node) + text.fault);
        node.value = text.value;
        return;
      }
      node.value = new Template(node.value, node.type !== Scalar.PLAIN || node.tag !== undefined);
    },
  });
}

function isCircular(value: unknown): boolean {
  try {
    JSON.stringify(value);
    return false;
  } catch (error) {
    if (error instanceof RangeError) throw error;
    return true;
  }
}

function lineOf(document: Document, lines: LineCounter, path: Path): number {
  const { isMap, isNode, isScalar } = yaml();
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

function refuse(path: string, sentence: string): never {
  throw new AltLasError("bad_config", `${path}: ${sentence}`);
}
