/**
 * How many JSON Schemas become grammars that say neither more nor less, beside llguidance, and what compiling takes. Without a file of schemas the
 * cases of the tests are taken.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import cases from "../test/fixtures/grammar-cases.json" with { type: "json" };
import { type Extent, percentile, type Row, rounded, type Section } from "./report.ts";
import { judge, type Judgement, type SchemaCase, type Verdict } from "./schemas/judge.ts";

const LLGUIDANCE = "llguidance==1.9.1";
const VERDICTS: readonly Verdict[] = ["whole", "refused", "too loose", "too tight"];

/** Of llguidance's whole ones, and of all. */
const SHARES = { llguidance: 0.9, all: 0.65 };

export async function schemas({ quick, file }: Extent): Promise<Section> {
  const all = file === undefined ? ownCases() : casesOf(file);
  const judged = all.map((one) => judge(one, quick ? 5 : 30));
  for (const { name, verdict, why } of judged)
    if (verdict !== "whole") console.log(`${verdict}: ${name}: ${why.slice(0, 200)}`);
  const own = counted(judged.map(({ verdict }) => verdict));
  console.log(lineOf(own, all.length));
  const theirs = llguidance(all);
  if (theirs !== null) console.log(`llguidance: ${lineOf(theirs, all.length)}`);
  const bars = [
    { what: "whole, as a share of all", measured: own.whole / all.length, atLeast: SHARES.all },
    { what: "too loose", measured: own["too loose"], atMost: 0 },
  ];
  if (theirs !== null) {
    bars.unshift({
      what: "whole, as a share of llguidance's",
      measured: own.whole / theirs.whole,
      atLeast: SHARES.llguidance,
    });
  }
  return {
    name: "schemas",
    about:
      "JSON Schemas as grammars, judged without a model: whole is one that compiles exactly, whose every valid instance matches, and whose random " +
      "texts are valid by Ajv. llguidance is only judged by the instances.",
    rows: [rowOf("alt-las", own, judged), ...(theirs === null ? [] : [rowOf(LLGUIDANCE, theirs, [])])],
    bars,
  };
}

type Counts = Readonly<Record<Verdict, number>>;

function counted(verdicts: readonly Verdict[]): Counts {
  return Object.fromEntries(
    VERDICTS.map((verdict) => [verdict, verdicts.filter((one) => one === verdict).length]),
  ) as Record<Verdict, number>;
}

function lineOf(counts: Counts, all: number): string {
  return `${VERDICTS.map((verdict) => `${verdict} ${counts[verdict]}`).join(", ")} of ${all}`;
}

function rowOf(side: string, counts: Counts, judged: readonly Judgement[]): Row {
  const compile = judged.map(({ compileMs }) => compileMs);
  const read = judged.flatMap(({ readMs }) => readMs ?? []);
  return {
    side,
    ...counts,
    "compile ms, median": timeOf(compile, 0.5),
    "compile ms, p99": timeOf(compile, 0.99),
    "llama.cpp reads it ms, p99": timeOf(read, 0.99),
  };
}

function timeOf(values: readonly number[], share: number): string | number {
  return values.length === 0 ? "-" : rounded(percentile(values, share), 1);
}

/** A line for each: name, schema, tests. */
function casesOf(file: string): SchemaCase[] {
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.filter((line) => line.trim() !== "").map((line) => JSON.parse(line) as SchemaCase);
}

function ownCases(): SchemaCase[] {
  return cases.map(({ name, schema, right, wrong }) => ({
    name,
    schema,
    tests: [...right.map((data) => ({ valid: true, data })), ...wrong.map((data) => ({ valid: false, data }))],
  }));
}

/** What llguidance makes of the same schemas; null where its package cannot be had. */
function llguidance(all: readonly SchemaCase[]): Counts | null {
  const folder = mkdtempSync(join(tmpdir(), "llguidance-"));
  try {
    const python = join(folder, "venv/bin/python");
    execFileSync("python3", ["-m", "venv", join(folder, "venv")], { stdio: "ignore" });
    execFileSync(python, ["-m", "pip", "install", "--quiet", LLGUIDANCE], { stdio: "ignore" });
    if (!existsSync(python)) return null;
    const file = join(folder, "schemas.jsonl");
    writeFileSync(file, all.map((one) => `${JSON.stringify(one)}\n`).join(""));
    const script = join(import.meta.dirname, "schemas/judge-llguidance.py");
    const output = execFileSync(python, [script, file], { encoding: "utf8", maxBuffer: 2 ** 28 });
    const lines = output.trim().split("\n");
    return counted(lines.map((line) => (JSON.parse(line) as { readonly verdict: Verdict }).verdict));
  } catch (error) {
    console.log(`llguidance cannot be had: ${error instanceof Error ? error.message.split("\n")[0] : "unknown"}`);
    return null;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
