/** The commands of the documents whose blocks are marked `run`, as they stand there, on a real server. `docs-programs` runs those of other languages. */
import assert from "node:assert/strict";
import { globSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { test, type TestContext } from "node:test";
import { blocksOf } from "../helpers/documents.ts";
import { BIN, newFolder, ROOT, Server } from "../helpers/server.ts";
import { ENVIRONMENT, succeed } from "../helpers/stranger.ts";

const CONFIG = `
api: { ollama: true, anthropic: true }
gpu: { devices: "simulated:2" }
engine:
  kind: simulated
  simulated: { tokens_per_second: 1000, models: [{ gpu_id: 0, name: demo }, { gpu_id: 1, name: demo }] }
`;

/** What the pages take to be there, and other pages have made. */
const BEFORE: Readonly<Record<string, string>> = {
  "docs/api.md": "npx alt-las users add carol --role user",
  "docs/operating.md": "echo 'correct horse battery staple 7' > password.txt",
  "docs/privacy.md": "npx alt-las users add bob --role user",
};

/** A folder of programs: this copy of ALT_LAS, this Node, and a curl that fails when the server refuses. */
function programs(t: TestContext): string {
  const bin = newFolder(t);
  const write = (name: string, line: string): void =>
    writeFileSync(join(bin, name), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
  write("npx", `shift\nexec node '${BIN}' "$@"`);
  write("curl", `PATH='${ENVIRONMENT["PATH"]}' exec curl --fail-with-body "$@"`);
  symlinkSync(process.execPath, join(bin, "node"));
  return bin;
}

const pages = globSync("docs/**/*.md", { cwd: ROOT })
  .toSorted()
  .map((path) => ({ path, blocks: blocksOf(path).filter(({ language, mark }) => language === "sh" && mark === "run") }))
  .filter(({ blocks }) => blocks.length > 0);

/** A server, and what a shell beside it needs: a task that is done, and one that never ends where it is to be canceled. */
async function served(t: TestContext) {
  const server = await Server.start(t, { config: CONFIG });
  await server.loaded();
  // Commands find the server by the configuration of their folder.
  writeFileSync(join(server.folder, "config.yaml"), `${CONFIG}server: { port: ${new URL(server.url).port} }\n`);
  const { task_id: done } = await server.run({ text: "Once upon a time", max_length: 8 });
  const env = {
    PATH: [programs(t), ENVIRONMENT["PATH"]].join(delimiter),
    ALT_LAS_API_KEY: server.key,
    ALT_LAS_DATA_DIR: server.dataDir,
  };
  const run = async (text: string): Promise<void> => {
    const endless = text.includes("cancel ") ? await server.predict({ text: "Once", max_length: 100_000 }) : null;
    const commands = text
      .replaceAll("http://127.0.0.1:8642", server.url)
      .replaceAll("altlas_XnvB…", server.key)
      .replaceAll("cancel 85090581", `cancel ${endless?.task_id.slice(-8)}`)
      .replaceAll("85090581", done.slice(-8));
    assert.doesNotMatch(await succeed(commands, server.folder, env), /"error":/, commands);
  };
  return run;
}

/** It makes keys that docs/api.md makes, too. */
const ALONE = "docs/operating.md";

for (const group of [pages.filter(({ path }) => path !== ALONE), pages.filter(({ path }) => path === ALONE)])
  test(`the commands of ${group.length} of the documents do what they are there for`, async (t) => {
    const run = await served(t);
    for (const { path, blocks } of group)
      await t.test(path, async () => {
        const before = BEFORE[path];
        if (before !== undefined) await run(before);
        for (const { text } of blocks) await run(text);
      });
  });
