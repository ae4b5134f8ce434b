/** Documents link to what is there, and what they show works. */
import assert from "node:assert/strict";
import { existsSync, globSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseConfig } from "../src/config/config.ts";
import { blocksOf, deadLinks, textOf } from "./helpers/documents.ts";
import { ROOT } from "./helpers/server.ts";

const DOCUMENTS = ["*.md", "{docs,deploy,examples,test,tools}/**/*.md", "bench/README.md", "clients/*/*.md"];
const PAGES = globSync(["docs/**/*.md", "README*.md"], { cwd: ROOT });

test("documents link to files and headings that are there", () => {
  const paths = globSync(DOCUMENTS, { cwd: ROOT, exclude: ["**/node_modules/**"] });
  assert.ok(paths.length > 40);
  assert.deepEqual(
    paths.flatMap((path) => deadLinks(path).map((link) => `${path}: ${link}`)),
    [],
  );
});

test("each piece of a configuration in the documents is taken as one", () => {
  const pieces = PAGES.flatMap((path) => blocksOf(path).map((block) => ({ path, ...block }))).filter(
    ({ language, isNotRun }) => language === "yaml" && !isNotRun,
  );
  assert.ok(pieces.length > 15);
  // Variables and secrets are not there.
  for (const { path, text } of pieces) parseConfig(text.replaceAll(/\$\{[^}]*\}/g, "secret"), `${path}: ${text}`);
});

test("each command of the documents is run by a test, or its block says why not", () => {
  for (const path of [...PAGES, "CONTRIBUTING.md", ...globSync("clients/*/README.md", { cwd: ROOT })])
    for (const { language, text, mark } of blocksOf(path)) {
      if (!/^(?:sh|bash|python|js)$/.test(language)) continue;
      const where = `${path}: ${language} ${mark}: ${text}`;
      const [, name] = /^tested-by=([\w-]+)$/.exec(mark) ?? [];
      if (name === undefined) assert.match(mark, /^(?:run|not-run: \S.*)$/, where);
      else {
        const file = `test/wide/${name}.test.ts`;
        assert.ok(existsSync(join(ROOT, file)) && textOf(file).includes(path), `${where}: ${file} does not name it`);
      }
    }
});

test("what docs/comparison.md says of costs is what bench/README.md has", () => {
  const [, costs] = /^## What it costs\n(.*?)^## /ms.exec(textOf("docs/comparison.md"))!;
  const measured = textOf("bench/README.md").replaceAll(",", "");
  const figures = Array.from(costs!.matchAll(/\d[\d.,]*\d|\d/g), ([figure]) => figure.replaceAll(",", ""));
  assert.ok(figures.length > 15);
  for (const figure of figures) assert.ok(measured.includes(figure), figure);
});
