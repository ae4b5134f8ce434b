import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { parse } from "yaml";
import { SUITES } from "../tools/wide-suites.ts";
import { ROOT } from "./helpers/server.ts";

interface Workflow {
  readonly permissions: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, Job>>;
}

interface Job {
  readonly permissions?: Readonly<Record<string, string>>;
  readonly steps: readonly { readonly run?: string }[];
}

const FOLDER = join(ROOT, ".github/workflows");
const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  readonly scripts: Readonly<Record<string, string>>;
};

for (const file of readdirSync(FOLDER)) {
  const workflow = parse(readFileSync(join(FOLDER, file), "utf8")) as Workflow;
  const commands = Object.values(workflow.jobs).flatMap(({ steps }) => steps.flatMap(({ run }) => run ?? []));

  test(`${file} runs scripts and suites that there are`, () => {
    const named = commands.flatMap((command) =>
      Array.from(command.matchAll(/npm run (?:-\S+ )*(\S+)/g), ([, name]) => name!),
    );
    assert.ok(named.includes("check"));
    for (const name of named) assert.ok(Object.hasOwn(scripts, name), name);
    const suites = commands.flatMap((command) => / test:slow -- (.+)/.exec(command)?.[1]!.split(" ") ?? []);
    assert.ok(suites.includes("pack"));
    for (const name of suites)
      assert.ok(
        SUITES.some((suite) => suite.name === name),
        name,
      );
  });

  test(`${file} may write nothing, and only what publishes may say who it is`, () => {
    assert.deepEqual(workflow.permissions, { contents: "read" });
    for (const { permissions = {}, steps } of Object.values(workflow.jobs)) {
      const publishes = steps.some(({ run = "" }) => run.startsWith("npm publish"));
      assert.deepEqual(permissions, publishes ? { contents: "read", "id-token": "write" } : {});
    }
  });
}
