import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { faults, violations } from "../tools/check-structure.ts";
import { testFolder } from "./helpers/store.ts";

const lines = (count: number, line: string): string => `${line}\n`.repeat(count);
const fields = (count: number, modifier: string): string =>
  Array.from({ length: count }, (_, index) => `${modifier} a${index} = ${index};`).join("\n");

test("a file, a function or a class that has grown too large is found by its name, and so is a comparison of kinds", (t) => {
  const root = testFolder(t);
  mkdirSync(join(root, "src"));
  const files = {
    "long.ts": lines(401, "// one"),
    "whole.ts": lines(400, "// one"),
    "functions.ts": `export function great() {\n${lines(40, "  void 0;")}}\nexport function good() {\n${lines(38, "  void 0;")}}\n`,
    "classes.ts": `export class Heap {\n${fields(13, "")}\n}\nexport class Good {\n${fields(12, "")}\n${fields(9, "static readonly")}\n}\n`,
    "kinds.ts": `export const isGpu = ({ kind }) => kind === "gpu";\nexport const isOpen = (a) => "openai" !== a.kind || a.kind === "event";\n`,
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, "src", name), text);
  const found = violations("src", root);
  assert.deepEqual(found.map(({ file, name = "" }) => `${file} ${name}`).toSorted(), [
    "src/classes.ts Heap",
    "src/functions.ts great",
    "src/kinds.ts kind",
    "src/kinds.ts kind",
    "src/long.ts ",
  ]);
  const reason = "it is only a test";
  const exceptions = found.map(({ file, name }) => (name === undefined ? { file, reason } : { file, name, reason }));
  assert.deepEqual(faults(found, exceptions), []);
  assert.equal(faults(found, exceptions.slice(1)).length, 1);
  assert.deepEqual(faults(found, [...exceptions, { file: "src/whole.ts", reason }]), [
    "src/whole.ts needs no exception any more: remove it.",
  ]);
});

test("a comment that begins with no subject is found, and the middle of a sentence is not", (t) => {
  const root = testFolder(t);
  mkdirSync(join(root, "src"));
  const source = `/** What is left. */
export const a = 1;
// All that is there.
// Who asks is told so.
export const b = 2;
/*
 * It is told to those
 * what comes next, and who asks.
 */
export const c = "What is this?";
// The rest of it, and the page
// Who has seen it, which is a name.
export const d = 4;
`;
  writeFileSync(join(root, "src", "some.ts"), source);
  assert.deepEqual(
    violations("src", root).map(({ line }) => line),
    [1, 3],
  );
});

test("SQL is found outside the store, and words that are no SQL are not", (t) => {
  const root = testFolder(t);
  const source =
    "export const all = [`SELECT id FROM ${0}`, 'DELETE FROM tasks', 'PRAGMA page_count', 'Select one from the list', 'DELETE /task'];\n";
  for (const folder of ["src/http", "src/store/sqlite"]) {
    mkdirSync(join(root, folder), { recursive: true });
    writeFileSync(join(root, folder, "some.ts"), source);
  }
  const found = violations("src", root).map(({ file, sentence }) => `${file}: ${sentence.split(":")[0]}`);
  const expected = "src/http/some.ts: SQL stands in src/store only";
  assert.deepEqual(found, [expected, expected, expected]);
});

test("a module that is started by a name with .ts is found, and one that is imported is not", (t) => {
  const root = testFolder(t);
  mkdirSync(join(root, "src"));
  const source = `import { a } from "./a.ts";
export { a } from "./a.ts";
export type B = import("./b.ts").B;
export const later = () => import("./b.ts");
export const said = new Error("thread.ts is started by b.ts");
export const started = [new URL("./thread.ts", import.meta.url), \`${"${a}"}/child.mts\`, a + ".ts"];
`;
  writeFileSync(join(root, "src/some.ts"), source);
  const found = violations("src", root);
  assert.deepEqual(
    found.map(({ line }) => line),
    [6, 6, 6],
  );
  assert.match(found[0]!.sentence, /startedModule/);
});

test("what only some systems have is found by its name, and what all have is not", (t) => {
  const root = testFolder(t);
  mkdirSync(join(root, "src/common"), { recursive: true });
  const source = `import { readFileSync, renameSync, rename as move } from "node:fs";
import { rename } from "./rename.ts";
export const isMac = process.platform === "darwin";
export const all = [readFileSync("/proc/self/stat"), \`/dev/\${isMac}\`, "/tmpfoo", "/api/v1/tasks", "/v1/bin"];
process.kill(1, "SIGSTOP");
child.kill("SIGKILL");
spawn("sh", ["-c", "x"]);
execFileSync("npm", []);
spawn(process.execPath, []);
`;
  writeFileSync(join(root, "src/some.ts"), source);
  for (const name of ["rename", "system"]) writeFileSync(join(root, `src/common/${name}.ts`), source);
  const found = violations("src", root).map(({ file, line, name }) => `${file}:${line} ${name}`);
  const expected = ["1 rename", "1 renameSync", "3 platform", "4 /dev", "4 /proc", "5 SIGSTOP", "7 sh", "8 npm"];
  assert.deepEqual(
    found.toSorted(),
    expected.map((one) => `src/some.ts:${one}`),
  );
});
