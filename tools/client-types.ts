/**
 * Makes the types of the clients from the document of a server, which it starts: clients/schemas.json, and from that what TypeScript and
 * Python have of it.
 *
 *     node tools/client-types.ts
 *     node tools/client-types.ts --install    only what generates them
 *
 * Needs npm, and `python3` with venv: the generators come from their registries, once.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { npm } from "../src/common/npm.ts";
import { clientSchemas, type Document } from "./client-types/schemas.ts";

const ROOT = join(import.meta.dirname, "..");
const CLIENTS = join(ROOT, "clients");
export const SCHEMAS = join(CLIENTS, "schemas.json");
/** The files that are generated, from the folder of the clients. */
export const GENERATED = ["typescript/src/schema.ts", "python/src/alt_las/types.py"] as const;

const FOR_PYTHON = "datamodel-code-generator==0.89.0";
const PYTHON = join(ROOT, "node_modules/.cache", FOR_PYTHON);
const JSON2TS = join(CLIENTS, "typescript/node_modules/json-schema-to-typescript/dist/src/cli.js");
const CODEGEN = join(PYTHON, "bin/datamodel-codegen");

/** Whether the generators are here. */
export function haveGenerators(): boolean {
  return existsSync(JSON2TS) && existsSync(CODEGEN);
}

function installGenerators(): void {
  if (!existsSync(JSON2TS)) npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund"], join(CLIENTS, "typescript"));
  if (existsSync(CODEGEN)) return;
  execFileSync("python3", ["-m", "venv", "--clear", PYTHON], { stdio: "inherit" });
  const words = ["install", "--quiet", "--only-binary", ":all:", FOR_PYTHON];
  execFileSync(join(PYTHON, "bin/python3"), ["-m", "pip", ...words], { stdio: "inherit" });
}

/** The first line of a generated file says from what it is. */
export function stampOf(schemas: string): string {
  return `made by tools/client-types.ts of schemas.json ${createHash("sha256").update(schemas).digest("hex")}`;
}

/** As the file has it. */
export function textOf(document: Document): string {
  return `${JSON.stringify(clientSchemas(document), null, 1)}\n`;
}

/** The document of a server with the defaults. */
async function readDocument(): Promise<Document> {
  const { startServer } = await import("../src/main.ts");
  const { parseConfig } = await import("../src/config/config.ts");
  const { createLogger } = await import("../src/log/log.ts");
  const folder = mkdtempSync(join(tmpdir(), "alt-las-types-"));
  try {
    const config = parseConfig("auth: { enabled: false }", "config.yaml", { port: 0, devices: "simulated:1" });
    const server = await startServer(config, folder, createLogger("fatal", { write: () => {} }));
    const answer = await fetch(`${server.url}/openapi.json`);
    const said = (await answer.json()) as Document;
    await server.stop();
    return said;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Writes what is generated from a file of schemas into a folder. */
export function generate(schemas: string, target: string): void {
  const stamp = stampOf(readFileSync(schemas, "utf8"));
  const [typescript = "", python = ""] = GENERATED.map((path) => join(target, path));
  const words = ["--unreachableDefinitions", "--no-additionalProperties", "--bannerComment", `/* ${stamp} */`];
  execFileSync(process.execPath, [JSON2TS, "-i", schemas, "-o", typescript, ...words]);
  // It says of each type that it stands in the schemas, which is nothing to the readers of ours.
  rewrite(typescript, [
    [/\/\*\*\n \* This interface was referenced by .*\n \* via the .*\n \*\/\n/g, ""],
    [/ \*\n \* This interface was referenced by .*\n \* via the .*\n/g, ""],
    [/export interface Schemas \{[^}]*\}\n/, ""],
  ]);
  const types = [
    "--input-file-type",
    "jsonschema",
    "--output-model-type",
    "typing.TypedDict",
    "--formatters",
    "builtin",
  ];
  const style = ["--target-python-version", "3.10", "--no-use-union-operator", "--enum-field-as-literal", "all"];
  const from = ["--input", schemas, "--output", python, "--custom-file-header", `# ${stamp}`];
  const described = ["--use-schema-description", "--use-field-description"];
  // It would tell of other ways to name what has no name.
  const env = { ...process.env, PYTHONWARNINGS: "ignore" };
  execFileSync(CODEGEN, [...types, ...style, ...from, ...described], { env });
  // It knows no Python as old as 3.9, where this is all that is missing; the last is the whole of the schemas.
  rewrite(python, [
    [/^from typing import .*\n/m, "from typing import Any, Literal, Optional, Union\n"],
    [/^from typing_extensions import .*/m, "from typing_extensions import NotRequired, TypeAlias, TypedDict"],
    [/^Model: TypeAlias = Any\n+/m, ""],
  ]);
}

/** @throws when a part is not there */
function rewrite(file: string, parts: readonly (readonly [part: RegExp, by: string])[]): void {
  let text = readFileSync(file, "utf8");
  for (const [part, by] of parts) {
    if (text.search(part) === -1) throw new Error(`${file} has nothing like ${part}.`);
    text = text.replace(part, by);
  }
  writeFileSync(file, text);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  installGenerators();
  if (process.argv[2] !== "--install") {
    writeFileSync(SCHEMAS, textOf(await readDocument()));
    generate(SCHEMAS, CLIENTS);
  }
}
