/** The packages of clients/: made, installed into empty folders, and tried as clients/python/README.md and clients/typescript/README.md say. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { generate, GENERATED, haveGenerators, SCHEMAS } from "../../tools/client-types.ts";
import { NO_BROWSER, openBrowser, openPage } from "../helpers/browser.ts";
import { startLocalServer } from "../helpers/local-server.ts";
import { PYTHON, PYTHON_ENVIRONMENT } from "../helpers/own-clients.ts";
import { lacks, newFolder, type Owner, ROOT, runProgram } from "../helpers/server.ts";
import { shell, succeed } from "../helpers/stranger.ts";

const TYPESCRIPT = join(ROOT, "clients", "typescript");

const withoutGenerators = haveGenerators() ? false : "node tools/client-types.ts --install did not run";
const withoutMypy = await lacks(runProgram("python3", ["-m", "mypy", "--version"]), "PyPI's mypy");
const withoutVermin = await lacks(runProgram("vermin", ["--version"]), "PyPI's vermin");
const withoutHttpx = await lacks(
  runProgram("python3", ["-c", "import httpx, hatchling"]),
  "Python with httpx, hatchling",
);

const server = await startLocalServer({ after }, { devices: "simulated:1" });
await server.loaded();
const environment = { ALT_LAS_URL: server.url, ALT_LAS_API_KEY: server.key };

/** The first block of a README in a language. */
function firstBlock(folder: string, language: string): string {
  return new RegExp(`^\`\`\`${language} tested-by=own-clients-packages\n(.*?)^\`\`\`$`, "ms").exec(
    readFileSync(join(folder, "README.md"), "utf8"),
  )![1]!;
}

/** What both blocks print: the text of a task, and that of a stream. */
async function assertTold(stdout: string): Promise<void> {
  const tasks = Object.values((await server.tasks("?limit=2")).tasks);
  const texts = tasks.toReversed().map(({ result }) => result!.text);
  assert.equal(stdout.trim(), texts.join("\n").trim());
}

function packageOf(owner: Owner): { readonly folder: string; readonly file: string } {
  const folder = newFolder(owner);
  const said = execFileSync("npm", ["pack", "--json", "--pack-destination", folder], { cwd: TYPESCRIPT });
  const [{ filename }] = JSON.parse(said.toString()) as [{ filename: string }];
  return { folder, file: filename };
}

test("the npm package is small, needs nothing, and its README's first block runs on this Node and on an older one", async (t) => {
  const { folder, file } = packageOf(t);
  assert.ok(statSync(join(folder, file)).size < 40_000, "the package has grown");
  writeFileSync(join(folder, "package.json"), "{}");
  await succeed(`npm install --offline --no-audit --no-fund ./${file}`, folder);
  const listed = await succeed("ls node_modules node_modules/@alt-las/client", folder);
  assert.deepEqual(listed.split("\n").filter(Boolean), [
    "node_modules:",
    "@alt-las",
    "node_modules/@alt-las/client:",
    "LICENSE",
    "README.md",
    "dist",
    "package.json",
  ]);
  writeFileSync(join(folder, "start.mjs"), firstBlock(TYPESCRIPT, "js"));
  // The system's own Node is older than the one that these tests run on.
  for (const node of [`"${process.execPath}"`, "node"])
    await assertTold(await succeed(`${node} start.mjs`, folder, environment));
});

test("a browser's page uses the npm package from another origin", { skip: NO_BROWSER ?? false }, async (t) => {
  const { folder, file } = packageOf(t);
  await succeed(`tar -xf ${file}`, folder);
  const pages = createServer((request, response) => {
    const isModule = request.url!.startsWith("/dist/");
    response.setHeader("content-type", isModule ? "text/javascript" : "text/html");
    response.end(isModule ? readFileSync(join(folder, "package", request.url!)) : "");
  }).listen(0, "127.0.0.1");
  await once(pages, "listening");
  t.after(() => void pages.close());
  const origin = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`;
  const own = await startLocalServer(t, { config: `server: { cors_origins: ["${origin}"] }`, devices: "simulated:1" });
  await own.loaded();
  const page = await openPage(await openBrowser(t));
  await page.goto(origin);
  const program = `(async () => {
    const { AltLas } = await import("/dist/index.js");
    const client = new AltLas({ url: "${own.url}", apiKey: "${own.key}" });
    const told = [];
    for await (const event of client.stream({ text: "Once", max_length: 5 })) told.push(event);
    const refused = await client.predict({ text: "" }).catch(({ code, requestId }) => code + typeof requestId);
    return { text: told.map(({ text = "" }) => text).join(""), result: told.at(-1).task.result.text, refused };
  })()`;
  const { text, result, refused } = await page.evaluate<Record<string, string>>(program);
  assert.ok(text !== "");
  assert.deepEqual([text, refused], [result, "invalid_inputstring"]);
});

test("programs in TypeScript have the types of the npm package", async (t) => {
  const { folder, file } = packageOf(t);
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  await succeed(`npm install --offline --no-audit --no-fund ./${file}`, folder);
  const program = `
    import { AltLas, type Task, verifyWebhook } from "@alt-las/client";
    const client = new AltLas({ apiKey: "k" });
    const task: Task = await client.predictAndWait({ text: "x", gpu_options: { strategy: "random" } });
    const status: "queued" | "running" | "completed" | "failed" | "canceled" = task.status;
    export const text: string | undefined = task.result?.text;
    for await (const event of client.stream({ messages: [{ role: "user", content: "x" }] }))
      if (event.type === "token") event.text.trim();
      else if (event.type === "placed") event.attempt.toFixed();
      else event.task.attempts.length.toFixed();
    export const results = await client.batch({ batch: ["a", { text: "b" }] }, { onProgress: ({ done }) => done.toFixed() });
    export const webhook = verifyWebhook("whsec_", {}, status);
    // @ts-expect-error there is no such strategy
    void client.predict({ text: "x", gpu_options: { strategy: "best" } });
    // @ts-expect-error there is no such field
    void client.predict({ text: "x", prompt: "y" });
  `;
  writeFileSync(join(folder, "program.ts"), program);
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const options =
    "--strict --exactOptionalPropertyTypes --noEmit --target es2022 --module nodenext --lib es2022,dom --types ''";
  const { code, stdout } = await shell(`"${process.execPath}" "${tsc}" ${options} program.ts`, folder);
  assert.deepEqual([code, stdout], [0, ""]);
});

test(
  "the wheel has its types, and its README's first block runs where it is installed",
  { skip: withoutHttpx },
  async (t) => {
    const folder = newFolder(t);
    // Building leaves nothing behind in the clone.
    cpSync(PYTHON, join(folder, "source"), { recursive: true });
    await succeed(
      "python3 -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir . ./source",
      folder,
      process.env,
    );
    await succeed("python3 -m pip install --quiet --no-deps --target site alt_las-*.whl", folder, process.env);
    assert.ok(existsSync(join(folder, "site/alt_las/py.typed")) && existsSync(join(folder, "site/alt_las/_sync.py")));
    writeFileSync(join(folder, "start.py"), firstBlock(PYTHON, "python"));
    const env = { ...process.env, ...environment, PYTHONPATH: join(folder, "site") };
    await assertTold(await succeed("python3 start.py", folder, env));
  },
);

test("mypy finds nothing in the Python client, and its oldest Python is what it says", async (t) => {
  if (withoutMypy || withoutVermin) return t.skip(withoutMypy || withoutVermin || "");
  const env = { ...process.env, ...PYTHON_ENVIRONMENT };
  await succeed(`python3 -m mypy --strict --cache-dir ${newFolder(t)} src tests/typed.py`, PYTHON, env);
  await succeed("vermin --quiet --no-tips --eval-annotations --target=3.9- src", PYTHON, env);
});

test("the synchronous client is made of the asynchronous one", async (t) => {
  const file = join(newFolder(t), "_sync.py");
  await succeed(`python3 unasync.py ${file}`, PYTHON, process.env);
  const here = readFileSync(join(PYTHON, "src/alt_las/_sync.py"), "utf8");
  assert.equal(readFileSync(file, "utf8"), here, "run python3 clients/python/unasync.py");
});

test("the types are what the generators make of the schemas", { skip: withoutGenerators }, (t) => {
  const folder = newFolder(t);
  for (const path of GENERATED) cpSync(join(ROOT, "clients", path), join(folder, path));
  generate(SCHEMAS, folder);
  for (const path of GENERATED)
    assert.equal(readFileSync(join(folder, path), "utf8"), readFileSync(join(ROOT, "clients", path), "utf8"), path);
});
