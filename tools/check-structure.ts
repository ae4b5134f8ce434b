/**
 * Fails when a file, a function or a class in src has grown too large, asks which kind an engine or a device is, has SQL, or has a comment without a subject, unless
 * structure/exceptions.ts says why it may; and when an exception is not needed any more, so that the list only gets shorter.
 * The rules are in structure/.
 *
 *   node tools/check-structure.ts
 */
import { spawnSync } from "node:child_process";
import { join, resolve } from "node:path";
import { type Exception, EXCEPTIONS } from "./structure/exceptions.ts";

const ROOT = resolve(import.meta.dirname, "..");

/** One thing that breaks a rule. */
interface Finding {
  readonly file: string;
  /** Of a function or a class. */
  readonly name?: string;
  readonly line: number;
  readonly sentence: string;
}

/** What oxlint tells of one finding; the name stands in the message only. */
interface Diagnostic {
  readonly message: string;
  readonly code: string;
  readonly filename: string;
  readonly labels: readonly { readonly span: { readonly line: number } }[];
}

/** @param folder below which files are looked at; the paths in what is returned are relative to `root` */
export function violations(folder: string, root = ROOT): Finding[] {
  const oxlint = join(ROOT, "node_modules/oxlint/bin/oxlint");
  const config = join(ROOT, "tools/structure/oxlintrc.json");
  const { stdout, stderr, error } = spawnSync(process.execPath, [oxlint, "-c", config, "-f", "json", folder], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: Infinity,
  });
  if (error) throw error;
  try {
    const { diagnostics } = JSON.parse(stdout) as { readonly diagnostics: readonly Diagnostic[] };
    return diagnostics.map(findingOf);
  } catch {
    throw new Error(`oxlint failed: ${stdout}${stderr}`);
  }
}

function findingOf({ message, code, filename, labels }: Diagnostic): Finding {
  const line = labels[0]?.span.line ?? 1;
  const name = code === "eslint(max-lines)" ? undefined : /`(.+?)`/.exec(message)?.[1];
  // Windows writes paths in its own way.
  const finding = { file: filename.replaceAll("\\", "/"), line, sentence: message };
  return name === undefined ? finding : { ...finding, name };
}

/** What is wrong, a line each: findings without an exception, and exceptions without a finding. */
export function faults(findings: readonly Finding[], exceptions: readonly Exception[]): string[] {
  const keyOf = ({ file, name = "" }: Finding | Exception): string => `${file} ${name}`;
  const excepted = new Set(exceptions.map(keyOf));
  const found = new Set(findings.map(keyOf));
  return [
    ...findings
      .filter((finding) => !excepted.has(keyOf(finding)))
      .map(({ file, line, sentence }) => `${file}:${line}: ${sentence}`),
    ...exceptions
      .filter((exception) => !found.has(keyOf(exception)))
      .map((exception) => `${keyOf(exception).trim()} needs no exception any more: remove it.`),
  ];
}

if (import.meta.main) {
  const wrong = faults(violations("src"), EXCEPTIONS);
  for (const line of wrong) console.error(line);
  if (wrong.length > 0) process.exitCode = 1;
}
